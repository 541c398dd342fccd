/** Promise 2, one more file for a machine that runs: the rules of a launch, whoever asks, and nothing stays open in the broker. */
import assert from 'node:assert/strict';
import {
  closeSync,
  fstatSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { createBrokerClient, defaultDeadlinesMs } from '../../src/manager/broker-client.ts';
import type { OpenedFile } from '../../src/manager/broker-port.ts';
import type { Outcome } from '../../src/manager/outcome.ts';
import { encodeFrame } from '../../src/protocol/frame.ts';
import { startTestBroker } from '../support/broker.ts';
import { testLaunch } from '../support/test-launch.ts';

const broker = await startTestBroker();
after(() => broker[Symbol.asyncDispose]());
const port = createBrokerClient({
  socketPath: broker.site.paths.brokerSocket,
  connectForMs: 5_000,
  deadlineMs: defaultDeadlinesMs,
});
const image = `${broker.images}/disc.iso`;
const descriptors = (): string[] => readdirSync(`/proc/${broker.pid}/fd`);

before(async () => {
  writeFileSync(image, 'disc', { mode: 0o600 });
  symlinkSync('/etc/shadow', `${broker.images}/link.iso`);
  const launched = await broker.ask({ v: 1, call: 'launch', launch: await testLaunch('one') });
  assert.ok(launched.ok, JSON.stringify(launched));
});

const open = (path: string, more: object = {}): Promise<Outcome<OpenedFile>> =>
  port.open({
    machine: 'one',
    descriptor: { kind: 'file', path, access: 'ro', claimant: null, reopened: false },
    ...more,
  });

test('a file of a storage root comes as a descriptor that reads, and of just that file', async () => {
  const opened = await open(image);
  assert.ok(opened.ok, JSON.stringify(opened));
  const { descriptor, device, inode } = opened.value;
  try {
    assert.equal(readFileSync(descriptor, 'utf8'), 'disc');
    const [stats, own] = [statSync(image), fstatSync(descriptor)];
    assert.deepEqual([device, inode], [stats.dev, stats.ino]);
    assert.equal(own.ino, stats.ino);
    const flags = /^flags:\s*0*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8'))?.[1];
    assert.equal(Number.parseInt(flags ?? '', 8) & 3, 0, 'O_RDONLY');
    assert.equal(Number.parseInt(flags ?? '', 8) & 0o2000000, 0o2000000, 'O_CLOEXEC');
  } finally {
    closeSync(descriptor);
  }
});

test('what a launch may not have is refused with the rule', async () => {
  const before = descriptors();
  for (const path of [
    '/etc/shadow',
    '/proc/1/root/etc/shadow',
    '/dev/sda',
    `${broker.images}/link.iso`,
    `${broker.images}/../etc/policy.json`,
    broker.images,
    `${broker.site.paths.brokerState}/claims.json`,
  ]) {
    const opened = await open(path);
    assert.equal(opened.ok, false, path);
    assert.ok(!opened.ok && opened.faults[0]?.code !== 'internal', JSON.stringify(opened));
  }
  const claimed = await open('/etc/passwd', {
    descriptor: { kind: 'file', path: '/etc/passwd', access: 'ro', claimant: 1000, reopened: false },
  });
  assert.equal(claimed.ok, false);
  // The connection of the last request is closed when its peer is seen to have gone.
  for (let times = 0; times < 100 && descriptors().length > before.length; times += 1) await delay(20);
  assert.ok(descriptors().length <= before.length, descriptors().join());
});

test('a TAP device is made on a bridge that the policy lists, and on no other', async () => {
  for (const bridge of ['br0', 'lo', 'docker0']) {
    const opened = await open(image, { descriptor: { kind: 'tap', bridge } });
    assert.ok(!opened.ok && opened.faults[0]?.rule === 'bridges', JSON.stringify(opened));
  }
});

test('what only a launch makes is no request at all', async () => {
  for (const descriptor of [
    null,
    { kind: 'socket', name: 'qmp' },
    { kind: 'queue', of: 3 },
    { kind: 'vhost-net' },
    { kind: 'netdev', machine: 'one', socket: 'tpm' },
    { kind: 'usb' },
  ]) {
    const opened = await open(image, { descriptor });
    assert.ok(!opened.ok && opened.faults[0]?.code === 'broker-unreachable', JSON.stringify(opened));
  }
});

test('a USB device needs a line of the policy for this machine, whatever it is called', async () => {
  for (const device of ['046d:c52b', '1-1', '../../../../etc/shadow', 'usb1', '/dev/null']) {
    const opened = await open(image, { descriptor: { kind: 'usb', device } });
    assert.ok(!opened.ok && opened.faults[0]?.rule === 'relaxations', JSON.stringify(opened));
  }
});

test('for a machine that does not run, or is none, nothing is opened', async () => {
  const stopped = await open(image, { machine: 'two' });
  assert.ok(!stopped.ok && stopped.faults[0]?.code === 'machine-not-running', JSON.stringify(stopped));
});

test('peers that go away before the answer leave no descriptor in the broker', async () => {
  const before = descriptors().length;
  const frame = encodeFrame({
    v: 1,
    call: 'open',
    machine: 'one',
    descriptor: { kind: 'file', path: image, access: 'ro', claimant: null, reopened: false },
  });
  for (let round = 0; round < 200; round += 1) {
    const socket = connect(broker.site.paths.brokerSocket);
    await once(socket, 'connect');
    socket.write(frame);
    socket.destroy();
    await once(socket, 'close');
  }
  // One that waits in turn: what came before it is over.
  for (let times = 0; times < 50; times += 1) {
    const opened = await open(image);
    if (opened.ok) closeSync(opened.value.descriptor);
    if (descriptors().length <= before + 1) return;
  }
  assert.fail(`${before} descriptors before, ${descriptors().length} now`);
});

test('each is in the log of the broker', async () => {
  const log = readFileSync(`${broker.site.paths.brokerState}/broker.log`, 'utf8');
  assert.match(log, /"call":"open","machine":"one","uid":0,"ok":true/);
  assert.match(log, /"call":"open","machine":"one","uid":0,"ok":false,"refusals":[^\n]*shadow/);
});
