/** Promises 1, 2, 3 and 7 at the broker: what a launch gives, what it refuses, and that nothing is left of either. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  linkSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import { processesOfUids } from '../../src/linux/process.ts';
import type { LaunchedMachine } from '../../src/protocol/broker.ts';
import type { Descriptor, LaunchRequest } from '../../src/protocol/launch.ts';
import {
  brokerLog,
  startTestBroker,
  testManagerUid,
  traces,
  type TestBroker,
  testUidRange,
} from '../support/broker.ts';
import { makeImage, testLaunch } from '../support/test-launch.ts';

const disk = (path: string, access: 'ro' | 'rw'): Descriptor => ({
  kind: 'file',
  path,
  access,
  claimant: null,
  reopened: false,
});
const diskArguments = [
  '-add-fd',
  'fd=4,set=1',
  '-add-fd',
  'fd=5,set=1',
  '-blockdev',
  '{"driver":"file","node-name":"f","filename":"/dev/fdset/1","auto-read-only":true}',
];

async function start(broker: TestBroker, launch: LaunchRequest): Promise<LaunchedMachine> {
  const reply = await broker.ask<LaunchedMachine>({ v: 1, call: 'launch', launch });
  assert.ok(reply.ok, JSON.stringify(reply));
  return reply.result;
}

async function refusedWith(broker: TestBroker, launch: LaunchRequest): Promise<string> {
  const reply = await broker.ask({ v: 1, call: 'launch', launch });
  assert.ok(!reply.ok, 'admitted');
  assert.deepEqual(traces(broker.site), [], 'a refused launch leaves nothing');
  for (const { hint } of reply.refusals) assert.notEqual(hint, '');
  return reply.refusals.map(({ code, message }) => `${code}: ${message}`).join('\n');
}

const statusOf = (pid: number): string => readFileSync(`/proc/${pid}/status`, 'utf8');

test('a launched QEMU has a uid of its own, no group, no capability, and ends without a trace', async () => {
  await using broker = await startTestBroker();
  const first = await start(broker, await testLaunch('one'));
  const second = await start(broker, await testLaunch('two'));
  assert.notEqual(first.uid, second.uid);
  for (const { pid, uid } of [first, second]) {
    const status = statusOf(pid);
    assert.match(status, new RegExp(`^Uid:\\t${uid}\\t${uid}\\t${uid}\\t${uid}$`, 'm'));
    assert.match(status, /^Groups:\s*$/m);
    assert.match(
      status,
      /^CapInh:\s+0+\nCapPrm:\s+0+\nCapEff:\s+0+\nCapBnd:\s+0+\nCapAmb:\s+0+\nNoNewPrivs:\s+1\nSeccomp:\s+2$/m,
    );
  }
  const again = await broker.ask({ v: 1, call: 'launch', launch: await testLaunch('one') });
  assert.ok(!again.ok && again.refusals[0]?.code === 'machine-running');
  for (const call of ['reap', 'forget'] as const) {
    const reply = await broker.ask({ v: 1, call, machine: 'one' });
    assert.ok(!reply.ok && reply.refusals[0]?.code === 'machine-running', call);
  }
  for (const machine of ['one', 'two']) assert.ok((await broker.ask({ v: 1, call: 'kill', machine })).ok);
  assert.deepEqual(processesOfUids(first.uid, 2), []);
  assert.deepEqual(traces(broker.site), []);
});

test('a machine keeps its uid, and another gets it only once it was forgotten', async () => {
  await using broker = await startTestBroker({ uidRange: { ...testUidRange, count: 2 } });
  const uidOf = async (machine: string): Promise<number> => {
    const { uid } = await start(broker, await testLaunch(machine));
    await broker.ask({ v: 1, call: 'kill', machine });
    return uid;
  };
  const uids = [await uidOf('one'), await uidOf('two'), await uidOf('one')];
  assert.equal(uids[0], uids[2]);
  assert.match(await refusedWith(broker, await testLaunch('three')), /every uid of the range is taken/);
  await broker.ask({ v: 1, call: 'forget', machine: 'one' });
  assert.equal(await uidOf('three'), uids[0]);
  assert.ok((await broker.ask({ v: 1, call: 'rename', machine: 'three', to: 'four' })).ok);
  assert.equal(await uidOf('four'), uids[0]);
});

test('no launch changes owner, mode or times of an image, nor does any death', async () => {
  await using broker = await startTestBroker();
  const [path, readOnly] = [`${broker.images}/a.qcow2`, `${broker.images}/b.raw`];
  makeImage(path);
  makeImage(readOnly, 'raw');
  chownSync(path, 12_345, 54_321);
  chmodSync(path, 0o600);
  chmodSync(readOnly, 0o400);
  const owners = (): unknown[] =>
    [path, readOnly].map((file) => (({ uid, gid, mode, ino }) => [uid, gid, mode, ino])(statSync(file)));
  const [before, mtime] = [owners(), statSync(readOnly).mtimeMs];
  const launch = await testLaunch(
    'one',
    [disk(path, 'ro'), disk(path, 'rw'), disk(readOnly, 'ro')],
    diskArguments,
  );
  const { pid, files } = await start(broker, launch);
  for (const file of [path, readOnly]) {
    const { dev, ino } = statSync(file);
    assert.deepEqual(files[file], { device: dev, inode: ino });
  }
  assert.deepEqual(owners(), before);
  process.kill(pid, 'SIGKILL');
  await broker.kill();
  assert.deepEqual(owners(), before);
  broker.restart();
  assert.ok((await broker.ask({ v: 1, call: 'kill', machine: 'one' })).ok);
  assert.deepEqual(owners(), before);
  assert.equal(statSync(readOnly).mtimeMs, mtime);
  assert.deepEqual(traces(broker.site), []);
});

test('files that the policy does not give are refused on every way, and nothing is made', async () => {
  await using broker = await startTestBroker();
  symlinkSync('/etc', `${broker.images}/etc`);
  symlinkSync('/etc/shadow', `${broker.images}/shadow`);
  writeFileSync(`${broker.images}/disk`, '');
  for (const path of [
    '/etc/shadow',
    `${broker.images}/../../etc/policy.json`,
    `${broker.images}/etc/shadow`,
    `${broker.images}/shadow`,
    '/proc/1/root/etc/shadow',
    '/dev/vda',
    `${broker.images}/none`,
    broker.images,
  ]) {
    await refusedWith(broker, await testLaunch('one', [disk(path, 'ro')]));
  }
  assert.match(
    await refusedWith(broker, await testLaunch('one', [{ kind: 'tap', bridge: 'br0' }])),
    /bridge "br0" is not one that the policy lists/,
  );
  const launch = await testLaunch('one');
  for (const binary of ['/usr/bin/env', '/tmp/qemu-system-x86_64'])
    assert.match(await refusedWith(broker, { ...launch, binary }), /not a QEMU binary/);
  for (const source of ['/etc/shadow', '/usr/../etc/shadow', '/usr/bin/awk']) {
    await refusedWith(broker, { ...launch, root: [...launch.root, { source, target: '/usr/share/x' }] });
  }
  assert.match(brokerLog(broker.site), /"ok":false/);
});

test('a bridge that the policy lists and the host has not is named', async () => {
  await using broker = await startTestBroker({ bridges: ['qwnone0'] });
  assert.match(
    await refusedWith(broker, await testLaunch('one', [{ kind: 'tap', bridge: 'qwnone0' }])),
    /bridge-missing: bridge "qwnone0" is not on this host/,
  );
});

test('two launches of one machine at the same instant make one machine', async () => {
  await using broker = await startTestBroker();
  const launch = await testLaunch('one');
  const replies = await Promise.all([1, 2, 3].map(() => broker.ask({ v: 1, call: 'launch', launch })));
  assert.equal(replies.filter(({ ok }) => ok).length, 1);
  assert.equal(readdirSync(broker.site.paths.machines).length, 1);
});

test('a broker killed at any instant of a launch leaves nothing that the next one does not clear away', async () => {
  await using broker = await startTestBroker();
  const launch = await testLaunch('one');
  for (let round = 0; round < 12; round += 1) {
    const launching = broker.ask<LaunchedMachine>({ v: 1, call: 'launch', launch }).catch(() => undefined);
    await delay(round * 4);
    await broker.kill();
    await launching;
    broker.restart();
    const status = await broker.ask<{ machines: LaunchedMachine[]; slots: { uid: number }[] }>({
      v: 1,
      call: 'status',
    });
    assert.ok(status.ok);
    // Either the launch was finished and is known, or nothing of it is there.
    const known = status.result.machines.length;
    if (known === 0) {
      assert.deepEqual(traces(broker.site), [], `round ${round}`);
      assert.deepEqual(
        status.result.slots.flatMap(({ uid }) => processesOfUids(uid, 1)),
        [],
        `round ${round}`,
      );
    }
    assert.ok((await broker.ask({ v: 1, call: 'kill', machine: 'one' })).ok);
    assert.deepEqual(traces(broker.site), [], `round ${round}`);
    assert.ok(status.result.slots.length <= 1);
  }
});

test('a kernel that others may not read is a mount by itself, one that they may is the file', async () => {
  await using broker = await startTestBroker();
  const [secret, open] = [`${broker.images}/secret`, `${broker.images}/open`];
  for (const [path, mode] of [
    [secret, 0o600],
    [open, 0o644],
  ] as const)
    writeFileSync(path, 'kernel', { mode });
  const kernel = (path: string): Descriptor => ({
    kind: 'file',
    path,
    access: 'ro',
    claimant: null,
    reopened: true,
  });
  const { pid } = await start(broker, await testLaunch('one', [kernel(secret), kernel(open)]));
  // A mount by itself has no path.
  assert.equal(linkOf(pid, 4), '/');
  assert.equal(linkOf(pid, 5), open);
  assert.equal(statSync(secret).mode & 0o777, 0o600);
});

const linkOf = (pid: number, fd: number): string => readlinkSync(`/proc/${pid}/fd/${fd}`);

test("in the manager's own directory, files of others and files with a second name are refused", async () => {
  await using broker = await startTestBroker();
  const { vars } = broker.site.paths;
  const secret = `${broker.images}/secret`;
  writeFileSync(secret, 'root only', { mode: 0o600 });
  linkSync(secret, `${vars}/linked.qcow2`);
  const own = `${vars}/own.qcow2`;
  writeFileSync(own, 'x', { mode: 0o600 });
  chownSync(own, testManagerUid, testManagerUid);
  linkSync(own, `${vars}/second.qcow2`);
  for (const name of ['linked', 'own', 'second']) {
    assert.match(
      await refusedWith(broker, await testLaunch('one', [disk(`${vars}/${name}.qcow2`, 'rw')])),
      /not a file of the manager's own/,
    );
  }
  rmSync(`${vars}/second.qcow2`);
  await start(broker, await testLaunch('one', [disk(own, 'rw')]));
});
