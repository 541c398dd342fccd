/** Network cards on bridges that come and go while the guest runs, by descriptor: QEMU has no network of its own throughout. */
import assert from 'node:assert/strict';
import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { consoleShows, done, refused, statusOf } from '../support/driver.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { agentShell, untilAgentAnswers } from '../support/agent-shell.ts';
import { addGuestAgent } from '../support/guest-agent.ts';
import { startInstance } from '../support/instance.ts';
import { createNetwork } from '../support/network.ts';

const network = await createNetwork();
after(() => network[Symbol.dispose]());
const instance = await startInstance({ policy: { bridges: ['qwbr0'] }, network: network.path });
after(() => instance[Symbol.asyncDispose]());
const guest = addGuestAgent(instance.guest, join(instance.paths.images, 'initrd-agent.cpio'));

before(async () => {
  for (const [name, address] of [
    ['qwbr0', '192.0.2.1/24'],
    ['qwbr1', '198.51.100.1/24'],
  ] as const) {
    network.run('ip', 'link', 'add', name, 'type', 'bridge');
    network.run('ip', 'address', 'add', address, 'dev', name);
    network.run('ip', 'link', 'set', name, 'up');
  }
  const more = 'agent: true\nnics: [{id: first, kind: bridge, bridge: qwbr0}]';
  const source = demoMachine({ name: 'shop', guest, switches: 'qward.qemu-ga', more });
  await done(instance, 'define -', { stdin: source });
  await done(instance, 'start shop');
  await consoleShows(instance, 'shop');
  await untilAgentAnswers(instance, 'shop');
});

const shell = (script: string): Promise<string> => agentShell(instance, 'shop', script);

const taps = (): string[] =>
  [...network.run('ip', '-br', 'link', 'show', 'type', 'tun').matchAll(/^(qward\d+)/gm)].map(
    ([, name = '']) => name,
  );
const audited = (): Promise<string> => done(instance, 'audit shop');
const cards = (): Promise<string> => shell('ls /sys/class/net | grep -c "^eth"');

async function openTaps(): Promise<number> {
  const { pid } = await statusOf(instance, 'shop');
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`) === '/dev/net/tun';
    } catch {
      return false;
    }
  }).length;
}

test('a card comes on a port, carries packets, is counted, and goes with its TAP device', async () => {
  assert.equal(await cards(), '1');
  const said = await done(instance, 'attach shop nic more qwbr0');
  assert.equal(said, 'shop: more is attached, until the machine stops');
  await audited();
  assert.equal(taps().length, 2);
  assert.match(
    await done(instance, 'attach shop'),
    /CARD +PLACE +BRIDGE OR NETWORK\nmore +port\.0 +qwbr0\n3 of 4 ports free$/,
  );
  await shell('for i in 1 2 3 4 5 6 7 8 9; do [ -e /sys/class/net/eth1 ] && exit; sleep 1; done; exit 1');
  await shell(
    'ip link set eth1 up; ip address add 192.0.2.7/24 dev eth1; ping -c 3 -s 1000 192.0.2.1 >/dev/null',
  );
  const reply = await instance.client.call('stats', { name: 'shop' });
  assert.ok(reply.ok, JSON.stringify(reply));
  const more = reply.result.nics.find(({ nic }) => nic === 'more');
  assert.ok((more?.sentBytes ?? 0) > 3000, JSON.stringify(reply.result.nics));
  assert.equal(await done(instance, 'detach shop more'), 'shop: more is detached');
  assert.equal(taps().length, 1);
  assert.equal(await openTaps(), 1);
  assert.equal(await cards(), '1');
  await audited();
});

test('what may not be attached is refused with the rule, and no TAP device is left', async () => {
  for (const [words, fault] of [
    ['more qwbr1', /bridge "qwbr1" is not one/],
    ['more qwbr9', /./],
    ['first qwbr0', /has "first" already/],
    ['more qwbr0 mac=52:54:00:12:34:5', /mac/i],
    ['more qwbr0 colour=red', /colour/],
    ['more', /has no card "more"/],
    ['more qwbr0 kind=user', /./],
  ] as const) {
    const { status, stderr } = await instance.qward(`attach shop nic ${words}`.split(' '));
    assert.notEqual(status, 0, words);
    assert.match(stderr, fault, words);
    assert.equal(taps().length, 1, words);
    assert.equal(await openTaps(), 1, words);
  }
  const user = { id: 'more', kind: 'user' };
  const refusedUser = await instance.client.call('attach', { name: 'shop', nic: user });
  assert.ok(
    !refusedUser.ok && /kind: user/.test(refusedUser.faults[0]?.message ?? ''),
    JSON.stringify(refusedUser),
  );
  for (const body of [{}, { disk: { id: 'a' }, nic: { id: 'b' } }]) {
    const both = await instance.client.call('attach', { name: 'shop', ...body });
    assert.ok(!both.ok && both.faults[0]?.code === 'request-invalid', JSON.stringify(both));
  }
  assert.match(
    await refused(instance, 'detach shop first', { status: 2 }),
    /was there at its start[\s\S]*nics\.first\.link=down/,
  );
  await audited();
});

test('the next manager knows the card, and audits the machine with it', async () => {
  await done(instance, 'attach shop nic more qwbr0 model=e1000e');
  process.kill(instance.daemon('manager'), 'SIGKILL');
  await instance.up();
  await audited();
  assert.match(await done(instance, 'attach shop'), /more +port\.\d +qwbr0/);
  await done(instance, 'detach shop more');
  assert.equal(taps().length, 1);
  await audited();
});

test('a card comes into a managed network, is served and held to its own address, and goes', async () => {
  network.run('ip', 'link', 'set', 'lo', 'up');
  await done(instance, 'network create lan --subnet 10.77.0.0/24 --nat');
  const said = await done(instance, 'attach shop nic net lan kind=network');
  assert.equal(said, 'shop: net is attached, until the machine stops');
  await audited();
  assert.match(await done(instance, 'attach shop'), /net +port\.\d +lan/);
  assert.match(await done(instance, 'network show lan'), /10\.77\.0\.3 +shop +net/);
  await shell('for i in 1 2 3 4 5 6 7 8 9; do [ -e /sys/class/net/eth1 ] && exit; sleep 1; done; exit 1');
  const lease = `printf '#!/bin/sh\\n[ "$1" = bound ] && ip address add "$ip/24" dev "$interface"\\n' >/tmp/lease; chmod 755 /tmp/lease`;
  await shell(`${lease}; ip link set eth1 up; udhcpc -i eth1 -q -n -t 10 -T 2 -s /tmp/lease`);
  assert.match(await shell('ip -4 -o address show dev eth1'), /10\.77\.0\.3\/24/);
  await shell('ping -c 2 -w 10 10.77.0.1 >/dev/null');
  assert.match(await done(instance, 'status shop'), /10\.77\.0\.3/);
  process.kill(instance.daemon('manager'), 'SIGKILL');
  await instance.up();
  await audited();
  assert.match(await done(instance, 'status shop'), /10\.77\.0\.3/);
  await shell('ping -c 2 -w 10 10.77.0.1 >/dev/null');
  assert.equal(
    await shell(
      'ip address add 10.77.0.9/24 dev eth1; ping -c 2 -w 4 -I 10.77.0.9 10.77.0.1 >/dev/null || echo dropped',
    ),
    'dropped',
  );
  assert.equal(await done(instance, 'detach shop net'), 'shop: net is detached');
  await audited();
  assert.doesNotMatch(network.run('ip', 'link'), /qlan\./);
  assert.match(
    await refused(instance, 'attach shop nic net none kind=network', { status: 3 }),
    /there is no network "none"/,
  );
});

test('twenty rounds leave QEMU, manager and broker with the descriptors that they had', async () => {
  const { pid } = await statusOf(instance, 'shop');
  const count = (): number[] =>
    [pid ?? 0, instance.daemon('manager'), instance.daemon('broker')].map(
      (process) => readdirSync(`/proc/${process}/fd`).length,
    );
  const round = async (): Promise<void> => {
    const nic = { id: 'round', kind: 'bridge', bridge: 'qwbr0' };
    const attached = await instance.client.call('attach', { name: 'shop', nic });
    assert.ok(attached.ok, JSON.stringify(attached));
    const detached = await instance.client.call('detach', { name: 'shop', id: 'round' });
    assert.ok(detached.ok, JSON.stringify(detached));
  };
  for (let times = 0; times < 3; times += 1) await round();
  const before = count();
  for (let times = 0; times < 20; times += 1) await round();
  const now = count();
  const told = JSON.stringify({ before, now });
  assert.ok((now[0] ?? 0) <= (before[0] ?? 0), told);
  assert.ok((now[1] ?? 0) <= (before[1] ?? 0) + 4 && (now[2] ?? 0) <= (before[2] ?? 0) + 1, told);
  assert.equal(taps().length, 1);
  await audited();
});

test('with --persist the definition has the card, and it is there after a start', async () => {
  await done(instance, 'attach shop nic kept qwbr0 --persist');
  await done(instance, 'kill shop');
  assert.deepEqual(taps(), []);
  await done(instance, 'start shop');
  assert.equal(taps().length, 2);
  assert.match(await done(instance, 'show shop'), /kept/);
  await audited();
});
