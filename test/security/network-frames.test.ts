/**
 * Promise 2 on a managed network: frames that a QEMU which was taken over writes to its card reach neither the host past the bridge nor
 * the server in another card's name. In network namespaces of the test's own. Needs root.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, readSync, writeSync } from 'node:fs';
import { createSocket } from 'node:dgram';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openTap } from '../../src/linux/tap.ts';
import {
  cardRules,
  networkTables,
  noTables,
  planNetwork,
  type NetworkMode,
} from '../../src/protocol/networks.ts';
import { enterOwnNetwork } from '../support/network.ts';

enterOwnNetwork();
const ip = (words: string): string => execFileSync('ip', words.split(' '), { encoding: 'utf8' });
const nft = (input: string): string => execFileSync('nft', ['-f', '-'], { input, encoding: 'utf8' });

const planOf = (mode: NetworkMode) => planNetwork({ name: 'lan', subnet: '10.77.0.0/24', mode, who: null });
const plan = planOf('nat');
const card = { mac: '52:54:00:00:00:01', address: '10.77.0.3' };
const other = { mac: '52:54:00:00:00:02', address: '10.77.0.4' };
ip('link set lo up');
ip('link add hostlan type bridge');
ip('address add 192.0.2.10/24 dev hostlan');
ip('link set hostlan up');
ip(`link add ${plan.bridge} address ${plan.mac.bridge} type bridge stp_state 0 forward_delay 0`);
ip(`address add ${plan.gateway}/24 dev ${plan.bridge}`);
ip(`link set ${plan.bridge} up`);
const guest = openTap(plan.bridge, `${plan.cards}%d`);
const server = openTap(plan.bridge, plan.serverLink);
after(() => {
  closeSync(guest.fd);
  closeSync(server.fd);
});

function under(mode: NetworkMode | 'none'): void {
  nft(noTables(plan));
  if (mode === 'none') return;
  nft(networkTables(planOf(mode)));
  nft(cardRules(plan, guest.name, card));
}

const bytesOf = (mac: string): Buffer => Buffer.from(mac.replaceAll(':', ''), 'hex');
const address = (text: string): Buffer => Buffer.from(text.split('.').map(Number));

function checksum(header: Buffer): number {
  let sum = 0;
  for (let at = 0; at < header.length; at += 2) sum += header.readUInt16BE(at);
  sum = (sum & 0xffff) + (sum >>> 16);
  return ~(sum + (sum >>> 16)) & 0xffff;
}

interface Frame {
  readonly to: string;
  readonly mac?: string;
  readonly from?: string;
  readonly at: string;
  readonly ports: readonly [from: number, to: number];
  readonly payload: Buffer;
}

/** UDP (RFC 768) over IPv4 over Ethernet, without a checksum of its own. */
function frame({ to, mac = card.mac, from = card.address, at, ports, payload }: Frame): Buffer {
  const udp = Buffer.alloc(8);
  for (const [index, port] of ports.entries()) udp.writeUInt16BE(port, 2 * index);
  udp.writeUInt16BE(8 + payload.length, 4);
  const header = Buffer.from([0x45, 0, 0, 0, 0, 1, 0, 0, 64, 17, 0, 0, ...address(from), ...address(at)]);
  header.writeUInt16BE(header.length + udp.length + payload.length, 2);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([bytesOf(to), bytesOf(mac), Buffer.from([8, 0]), header, udp, payload]);
}

/** Behind a struct virtio_net_hdr without a word. */
const send = (wanted: Frame): void => {
  writeSync(guest.fd, Buffer.concat([Buffer.alloc(10), frame(wanted)]));
};

/** Those that the host hears. */
async function reachHost<Lie extends Omit<Frame, 'ports' | 'payload'>>(
  wanted: readonly Lie[],
): Promise<Lie[]> {
  const socket = createSocket('udp4');
  const heard = new Set<number>();
  try {
    await new Promise<void>((resolve) => socket.bind(9999, resolve));
    socket.on('message', (message) => heard.add(Number(message.toString())));
    for (const [index, one] of wanted.entries())
      send({ ...one, ports: [1234, 9999], payload: Buffer.from(String(index)) });
    await delay(500);
    return wanted.filter((_, index) => heard.has(index));
  } finally {
    socket.close();
  }
}

const reserved = ['00', '02', '03', '0e', '0f'].map((last) => `01:80:c2:00:00:${last}`);

test('without rules frames to reserved addresses reach the host past the bridge', async () => {
  under('none');
  const wanted = [plan.mac.bridge, '01:80:c2:00:00:0e'].map((to) => ({ to, at: '192.0.2.10' }));
  assert.deepEqual(await reachHost(wanted), wanted);
});

for (const mode of ['nat', 'isolated'] as const)
  test(`${mode}: no frame reaches the host, whatever it says that it is`, async () => {
    under(mode);
    const lies = [{}, { from: '192.0.2.7' }, { from: '192.0.2.7', mac: other.mac }];
    const wanted = [plan.mac.bridge, 'ff:ff:ff:ff:ff:ff', ...reserved].flatMap((to) =>
      [plan.gateway, '192.0.2.10'].flatMap((at) => lies.map((lie) => ({ to, at, ...lie }))),
    );
    assert.deepEqual(await reachHost(wanted), []);
  });

/** A request of BOOTP (RFC 951) in the name of a client. */
function request(client: string): Buffer {
  const message = Buffer.alloc(240);
  message.set([1, 1, 6, 0]);
  bytesOf(client).copy(message, 28);
  return message;
}

function heardByServer(): boolean {
  const piece = Buffer.alloc(2048);
  let heard = false;
  for (;;) {
    try {
      const length = readSync(server.fd, piece);
      heard ||= piece.subarray(10, length).includes(Buffer.from([0, 68, 0, 67]));
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return heard;
      throw error;
    }
  }
}

test('a card asks the DHCP server in its own name, and declines or releases nothing of another', async () => {
  under('nat');
  const ask = async (client: string, more: Partial<Frame>): Promise<boolean> => {
    heardByServer();
    const to = 'ff:ff:ff:ff:ff:ff';
    send({ to, at: '255.255.255.255', ports: [68, 67], payload: request(client), ...more });
    await delay(50);
    return heardByServer();
  };
  const plain = { from: '0.0.0.0' };
  const direct = { to: plan.mac.server, at: plan.server };
  assert.ok(await ask(card.mac, plain));
  assert.ok(await ask(card.mac, direct));
  assert.equal(await ask(other.mac, plain), false);
  assert.equal(await ask(other.mac, direct), false);
  assert.equal(
    await ask(card.mac, { ...direct, payload: Buffer.alloc(20) }),
    false,
    'too short to have a name',
  );
  assert.equal(await ask(card.mac, { ...plain, mac: other.mac }), false);
});
