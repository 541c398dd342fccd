/**
 * Promise 1 against a taken-over manager: everything that it may send on the broker's socket. Each attempt is refused, is in the
 * broker's log, and leaves the broker holding what it held before. Needs root.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { encodeFrame } from '../../src/protocol/frame.ts';
import { exchange, startTestBroker } from '../support/broker.ts';
import {
  footprintOf,
  logLines,
  memoryOf,
  timesRefused,
  unchanged,
  type LogLine,
} from '../support/broker-footprint.ts';
import { enterOwnNetwork } from '../support/network.ts';
import { testLaunch } from '../support/test-launch.ts';

// TAPs of other tests are not to be counted.
before(() => enterOwnNetwork());

const ofProtocol = ({ refused }: LogLine): boolean => refused === 'protocol';

const frame = (body: string | Buffer): Buffer => {
  const bytes = Buffer.from(body);
  const header = Buffer.alloc(4);
  header.writeUInt32BE(bytes.length);
  return Buffer.concat([header, bytes]);
};

test('what is not a request in every field ends the connection unanswered, and is logged', async () => {
  await using broker = await startTestBroker();
  const path = broker.site.paths.brokerSocket;
  const launch = await testLaunch('one');
  const launching = (change: object): string =>
    JSON.stringify({ v: 1, call: 'launch', launch: { ...launch, ...change } });
  const fileOf = (change: object): string =>
    launching({
      descriptors: [{ kind: 'file', path: '/x', access: 'ro', claimant: null, reopened: false, ...change }],
    });
  const bodies: readonly (string | Buffer)[] = [
    '',
    'null',
    '"status"',
    '[[{"v":1,"call":"status"}]]',
    '['.repeat(200_000),
    `{"v":1,"call":"status","x":${'['.repeat(50_000)}${']'.repeat(50_000)}}`,
    `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`,
    '{"v":1,"call":"status"} {}',
    '{"v":1,"call":"status",}',
    '{"v":"1","call":"status"}',
    '{"v":1,"call":["status"]}',
    '{"v":1,"call":"__proto__"}',
    '{"v":1,"call":"constructor"}',
    '{"v":1,"call":"toString"}',
    '{"v":1,"call":"status","__proto__":{"uid":0}}',
    '{"v":1,"call":"status","constructor":1}',
    // The last of two equal keys counts, and it is that one which is checked.
    '{"v":1,"call":"kill","machine":"one","machine":"../../etc"}',
    '{"v":1,"call":"status","call":"exec"}',
    '{"v":1,"call":"kill","machine":"a\\u0000b"}',
    '{"v":1,"call":"kill","machine":"one\\n"}',
    '{"v":1,"call":"kill","machine":".."}',
    '{"v":1,"call":"kill","machine":"One"}',
    `{"v":1,"call":"kill","machine":"${'a'.repeat(64)}"}`,
    '{"v":1,"call":"rename","machine":"one","to":"../two"}',
    '{"v":1,"call":"inspect-pid","pid":0}',
    '{"v":1,"call":"inspect-pid","pid":-1}',
    '{"v":1,"call":"inspect-pid","pid":1.5}',
    '{"v":1,"call":"inspect-pid","pid":"1"}',
    '{"v":1,"call":"inspect-pid","pid":1e400}',
    '{"v":1,"call":"inspect-pid","pid":9007199254740993}',
    Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]),
    launching({ uid: 0 }),
    launching({ cgroup: '/../..' }),
    launching({ program: 'sh' }),
    launching({ program: '__proto__' }),
    launching({ machine: '../one' }),
    launching({ argv: 'x' }),
    launching({ argv: ['a\0b'] }),
    launching({ argv: ['\ud800'] }),
    launching({ argv: Array.from({ length: 2049 }, () => '') }),
    launching({ env: { 'LD PRELOAD': 'x' } }),
    launching({ env: { 'A=B': 'x' } }),
    launching({ env: { PATH: 'a\nb' } }),
    launching({ env: [] }),
    `{"v":1,"call":"launch","launch":${JSON.stringify({ ...launch, env: {} }).replace('"env":{}', '"env":{"__proto__":{"PATH":"x"}}')}}`,
    launching({ devices: ['/dev/../etc/passwd'] }),
    launching({ devices: ['/etc/passwd'] }),
    launching({ devices: ['/dev/kvm', '/dev/kvm', '/dev/kvm'] }),
    launching({ mounts: [] }),
    launching({ namespaces: { net: 'host' } }),
    launching({ capabilities: ['CAP_SYS_ADMIN'] }),
    launching({ limits: { ...launch.limits, pids: 0 } }),
    launching({ limits: { ...launch.limits, memory: -1 } }),
    launching({ limits: { ...launch.limits, swap: 1 } }),
    launching({ root: [{ source: '/usr/bin/true', target: '/usr/bin/true', writable: true }] }),
    launching({ root: [{ source: 'usr/bin/true', target: '/usr/bin/true' }] }),
    fileOf({ claimant: 0 }),
    fileOf({ claimant: -1 }),
    fileOf({ claimant: 0xffff_ffff }),
    fileOf({ claimant: '1000' }),
    fileOf({ path: '/x\0' }),
    fileOf({ path: '/\udc00' }),
    fileOf({ path: 'x' }),
    fileOf({ access: 'rwx' }),
    fileOf({ reopened: 1 }),
    fileOf({ fd: 0 }),
    launching({ descriptors: Array.from({ length: 251 }, () => ({ kind: 'vhost-net' })) }),
    launching({ descriptors: [{ kind: 'socket', name: '../qmp' }] }),
    launching({ descriptors: [{ kind: 'tap', bridge: '../br0' }] }),
    launching({ descriptors: [{ kind: 'constructor' }] }),
    ...[2, 254, '3', null, 3.5].map((of) => launching({ descriptors: [{ kind: 'queue', of }] })),
  ];
  const was = footprintOf(broker);
  for (const body of bodies) {
    const bytes = frame(body);
    assert.equal(await exchange(path, bytes), undefined, String(body).slice(0, 200));
  }
  await unchanged(broker, was);
  await broker.stop();
  assert.equal(timesRefused(logLines(broker), ofProtocol), bodies.length);
});

test('a request in single bytes is answered, one that is cut off is not', async () => {
  await using broker = await startTestBroker();
  const path = broker.site.paths.brokerSocket;
  const bytes = encodeFrame({ v: 1, call: 'status' });
  const was = footprintOf(broker);
  const slow = connect(path);
  for (const byte of bytes) {
    slow.write(Buffer.from([byte]));
    await delay(2);
  }
  const [answer] = (await once(slow, 'data')) as [Buffer];
  assert.ok(answer.length > 4);
  slow.destroy();
  for (let length = 0; length < bytes.length; length += 1) {
    const socket = connect({ path, allowHalfOpen: true });
    let said = 0;
    socket.on('data', (piece: Buffer) => (said += piece.length));
    socket.end(bytes.subarray(0, length));
    await once(socket, 'close');
    assert.equal(said, 0, `${length} bytes`);
  }
  await unchanged(broker, was);
  await broker.stop();
  // One that says nothing only looked whether somebody listens.
  assert.equal(timesRefused(logLines(broker), ofProtocol), bytes.length - 1);
  assert.ok(logLines(broker).some(({ why }) => why === 'cut off'));
});

for (const name of ['brokerSocket', 'claimsSocket'] as const)
  test(
    `ten thousand connections to the ${name} cost the broker nothing that stays`,
    { timeout: 120_000 },
    async () => {
      await using broker = await startTestBroker();
      const path = broker.site.paths[name];
      const was = footprintOf(broker);
      const memory = memoryOf(broker);
      const garbage = [
        Buffer.alloc(0),
        Buffer.from([0, 3, 0xff, 0xff]),
        Buffer.from([0xff, 0xff, 0xff, 0xff]),
        frame('{"v":1}'),
      ];
      for (let made = 0, wave = 0; made < 10_000; wave += 1) {
        const sockets = Array.from({ length: 500 }, (_, index): Socket => {
          const socket = connect(path);
          socket.write(garbage[index % garbage.length] ?? '');
          return socket;
        });
        // The kernel's queue of the socket is shorter than a wave: what does not fit in it fails with EAGAIN.
        const connected = await Promise.all(
          sockets.map(
            (socket) =>
              new Promise<boolean>((resolve) => {
                socket.once('connect', () => resolve(true)).on('error', () => resolve(false));
              }),
          ),
        );
        made += connected.filter(Boolean).length;
        if (wave % 5 === 0) assert.ok(footprintOf(broker).descriptors < was.descriptors + 200);
        for (const socket of sockets) socket.destroy();
      }
      await unchanged(broker, was);
      assert.ok((await broker.ask({ v: 1, call: 'status' })).ok);
      assert.ok(memoryOf(broker) - memory < 64 * 1024 ** 2, `${memoryOf(broker) - memory} bytes more`);
    },
  );
