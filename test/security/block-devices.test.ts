/** Promises 1, 6 and 7: block devices as disks are those that the policy names, looked at again on the open descriptor. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { auditProcess } from '../../src/audit/audit-process.ts';
import { expectedWalls } from '../../src/audit/expected-walls.ts';
import { isLvmVolume } from '../../src/linux/block-device.ts';
import { isAlive } from '../../src/linux/process.ts';
import { gatherQemu } from '../../src/manager/facts/qemu-facts.ts';
import { parseImageHeader } from '../../src/plan/image-header.ts';
import { planLaunch } from '../../src/plan/plan-launch.ts';
import { definitionOf } from '../../src/plan/sample-facts.ts';
import type { FileProbe, LaunchedMachine, ProcessFacts } from '../../src/protocol/broker.ts';
import type { Access } from '../../src/protocol/launch.ts';
import { startTestBroker, type TestBroker } from '../support/broker.ts';
import { localFacts } from '../support/local-facts.ts';
import { testLaunch } from '../support/test-launch.ts';

const MiB = 1024 * 1024;
const directory = mkdtempSync('/tmp/qward-block-');
writeFileSync(`${directory}/device`, '');
truncateSync(`${directory}/device`, 16 * MiB);
const loop = execFileSync('losetup', ['--find', '--show', `${directory}/device`], {
  encoding: 'utf8',
}).trim();
after(() => {
  execFileSync('losetup', ['--detach', loop]);
  rmSync(directory, { recursive: true });
});

/** QEMU greets once it has all of its drives; what it said in its log where it never does. */
async function greeting({ pid, startTime, log, sockets }: LaunchedMachine): Promise<string> {
  while (isAlive(pid, startTime)) {
    const socket = connect(sockets.qmp ?? '');
    try {
      const [bytes] = (await once(socket, 'data')) as [Buffer];
      return bytes.toString('utf8');
    } catch {
      await delay(20);
    } finally {
      socket.destroy();
    }
  }
  return readFileSync(log, 'utf8');
}

async function probe(broker: TestBroker, path: string, access: Access = 'rw'): Promise<FileProbe> {
  const paths = [{ path, access, claimant: null }];
  const reply = await broker.ask<FileProbe[]>({ v: 1, call: 'probe', machine: 'one', paths, head: 1024 });
  assert.ok(reply.ok && reply.result[0] !== undefined);
  return reply.result[0];
}

async function refusal(broker: TestBroker, path: string): Promise<[code: string, rule: string | undefined]> {
  const found = await probe(broker, path);
  assert.ok(!found.ok, path);
  return [found.refusal.code, found.refusal.rule];
}

test('a device of the policy is a disk: planned, started in its jail, and audited', async () => {
  await using broker = await startTestBroker({ blockDevices: [{ path: loop, access: 'rw' }] });
  const looked = await probe(broker, loop);
  assert.ok(looked.ok);
  assert.deepEqual([looked.size, looked.blockDevice], [16 * MiB, true]);
  const definition = definitionOf(
    `name: one\naccel: tcg\nmemory: 64MiB\ndisks:\n  - {id: root, path: ${loop}, format: raw}\n`,
  );
  const qemu = await gatherQemu('/usr/bin/qemu-system-x86_64');
  assert.ok(qemu.ok);
  const image = parseImageHeader(Buffer.from(looked.head, 'base64'), looked.size);
  const files = {
    [loop]: { ok: true, size: looked.size, blockDevice: true, worldReadable: false, image },
  } as const;
  const planned = planLaunch(definition, {
    ...localFacts(definition, '/nonexistent'),
    qemu: qemu.value.facts,
    files,
  });
  assert.ok(planned.ok, JSON.stringify(planned));
  assert.ok(planned.plan.launch.limits.fileSize > 16 * MiB);
  const before = statSync(loop);
  const launched = await broker.ask<LaunchedMachine>({ v: 1, call: 'launch', launch: planned.plan.launch });
  assert.ok(launched.ok, JSON.stringify(launched));
  assert.match(await greeting(launched.result), /^\{"QMP"/);
  const inspected = await broker.ask<ProcessFacts>({ v: 1, call: 'inspect', machine: 'one' });
  assert.ok(inspected.ok, 'QEMU took the device');
  const facts = inspected.result;
  const opened = facts.descriptors.filter(
    ({ inode, device }) => inode === before.ino && device === before.dev,
  );
  assert.ok(opened.some(({ flags }) => (flags & 3) === 2));
  const expected = expectedWalls(launched.result, { files: launched.result.files });
  const { rows } = auditProcess({ facts, at: '', machine: 'one', expected });
  assert.deepEqual(
    rows.filter(({ verdict }) => verdict === 'differs').map(({ wall, found }) => [wall, found]),
    [],
  );
  // While it runs, it can be looked at as before; QEMU's own locks keep others off.
  assert.ok((await probe(broker, loop)).ok);
  await broker.ask({ v: 1, call: 'kill', machine: 'one' });
  const now = statSync(loop);
  assert.deepEqual([now.uid, now.gid, now.mode], [before.uid, before.gid, before.mode]);
});

test('a device that the policy does not name is refused, whatever leads to it', async () => {
  await using broker = await startTestBroker({ lvmGroups: [{ group: 'vg-one', access: 'rw' }] });
  assert.deepEqual(await refusal(broker, loop), ['policy-refused', 'blockDevices']);
  assert.deepEqual(await refusal(broker, '/dev/sda'), ['policy-refused', 'blockDevices']);
  const { rdev } = statSync(loop);
  execFileSync('mknod', [`${broker.images}/node`, 'b', String(rdev >> 8), String(rdev & 0xff)]);
  assert.deepEqual(await refusal(broker, `${broker.images}/node`), ['file-kind', 'regular-files']);
  symlinkSync(loop, `${broker.images}/link`);
  assert.deepEqual(await refusal(broker, `${broker.images}/link`), ['file-kind', 'no-links']);
});

test('a machine with CAP_SYS_RAWIO is given no device later that is not for raw commands', async () => {
  const reserve = { relax: 'capability', to: 'sys_rawio' } as const;
  const policy = (device: object): object => ({
    blockDevices: [{ path: loop, access: 'rw', ...device }],
    relaxations: [{ ...reserve, machines: ['one'] }],
  });
  for (const rawio of [false, true]) {
    await using broker = await startTestBroker(policy({ rawio }));
    const launch = { ...(await testLaunch('one')), relaxed: [reserve] };
    const launched = await broker.ask({ v: 1, call: 'launch', launch });
    assert.ok(launched.ok, JSON.stringify(launched));
    const file = { kind: 'file', path: loop, access: 'rw', claimant: null, reopened: false } as const;
    const opened = await broker.ask({ v: 1, call: 'open', machine: 'one', descriptor: file });
    assert.equal(opened.ok, rawio, JSON.stringify(opened));
    if (!opened.ok)
      assert.deepEqual(
        opened.refusals.map(({ rule }) => rule),
        ['blockDevices'],
      );
  }
});

test('a link in /dev leads to the device that the policy names by it, where only root can make links', async () => {
  const [link, shared] = ['/dev/qward-test-disk', '/dev/shm/qward-test-disk'];
  for (const path of [link, shared]) symlinkSync(loop, path);
  try {
    await using broker = await startTestBroker({ blockDevices: [{ path: link, access: 'ro' }] });
    assert.ok((await probe(broker, link, 'ro')).ok);
    assert.deepEqual(await refusal(broker, link), ['policy-refused', 'blockDevices[0]']);
    await using other = await startTestBroker({
      storageRoots: [{ path: '/dev/shm', access: 'ro' }],
    });
    const found = await probe(other, shared, 'ro');
    assert.ok(!found.ok && found.refusal.code === 'file-kind');
  } finally {
    for (const path of [link, shared]) rmSync(path);
  }
});

test('what the policy calls a device, or a volume of a group, must be one', async () => {
  mkdirSync('/dev/qward-vg');
  try {
    symlinkSync(loop, '/dev/qward-vg/root');
    await using broker = await startTestBroker({
      lvmGroups: [{ group: 'qward-vg', access: 'rw' }],
      blockDevices: [{ path: '/dev/null', access: 'rw' }],
    });
    assert.deepEqual(await refusal(broker, '/dev/qward-vg/root'), ['policy-refused', 'lvmGroups[0]']);
    assert.deepEqual(await refusal(broker, '/dev/null'), ['file-kind', 'blockDevices[0]']);
  } finally {
    rmSync('/dev/qward-vg', { recursive: true });
  }
});

test('a device that is mounted is never given to be written', async () => {
  execFileSync('mkfs.ext4', ['-q', loop]);
  mkdirSync(`${directory}/mounted`);
  execFileSync('mount', [loop, `${directory}/mounted`]);
  try {
    await using broker = await startTestBroker({ blockDevices: [{ path: loop, access: 'rw' }] });
    assert.deepEqual(await refusal(broker, loop), ['image-locked', undefined]);
  } finally {
    execFileSync('umount', [`${directory}/mounted`]);
  }
});

test('a volume of LVM is told by name and uuid of device mapper', () => {
  // As Linux 6.1 shows a group vg-one with a volume root, a thin pool and what lies hidden beneath it; number, name, uuid.
  const ids = 'Zq3eBt1nVY7cJ0KcUuqAvy4yI2vAxS5hLmN8oP9qR0sT1uV2wX3yZ4aB5cD6eF7g';
  const recorded: readonly (readonly [minor: number, name: string, uuid: string])[] = [
    [0, 'vg--one-root', `LVM-${ids}`],
    [1, 'vg--one-pool_tdata', `LVM-${ids}-tdata`],
    [2, 'vg--one-root-real', `LVM-${ids}-real`],
    [3, 'vg--one-root', `CRYPT-LUKS2-${ids}`],
    [300, 'vg--one-far', `LVM-${ids}`],
  ];
  const sys = `${directory}/sys`;
  for (const [minor, name, uuid] of recorded) {
    mkdirSync(`${sys}/254:${minor}/dm`, { recursive: true });
    writeFileSync(`${sys}/254:${minor}/dm/name`, `${name}\n`);
    writeFileSync(`${sys}/254:${minor}/dm/uuid`, `${uuid}\n`);
  }
  const number = (minor: number): number => ((minor & ~0xff) << 12) | (254 << 8) | (minor & 0xff);
  const is = (minor: number, name: string): boolean => isLvmVolume(number(minor), name, sys);
  assert.deepEqual(
    [is(0, 'vg--one-root'), is(0, 'vg--one-home'), is(1, 'vg--one-pool_tdata'), is(2, 'vg--one-root-real')],
    [true, false, false, false],
  );
  assert.deepEqual(
    [is(3, 'vg--one-root'), is(4, 'vg--one-root'), is(300, 'vg--one-far')],
    [false, false, true],
  );
});
