/**
 * Promise 2 against an swtpm that was taken over: it has its state, two connections to its QEMU, and nothing else. Promises 1 and 3 against a manager
 * that asks for more in its name. Needs root.
 */
import assert from 'node:assert/strict';
import {
  chownSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { lstatSync, writeFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { gatherTool } from '../../src/manager/facts/tool.ts';
import { tpmServer } from '../../src/manager/facts/side-servers.ts';
import { tpmJob } from '../../src/plan/tpm.ts';
import type { LaunchedMachine } from '../../src/protocol/broker.ts';
import type { LaunchRequest, Shown } from '../../src/protocol/launch.ts';
import { swtpmArguments } from '../../src/protocol/side-servers.ts';
import { startTestBroker, testManagerUid, traces, type TestBroker } from '../support/broker.ts';
import { defineBare, done, statusOf } from '../support/driver.ts';
import { startInstance } from '../support/instance.ts';
import { until } from '../support/until.ts';
import { testLaunch } from '../support/test-launch.ts';

const tool = await gatherTool('/usr/bin/swtpm', tpmServer);
assert.ok(tool.ok, JSON.stringify(tool));
const { binary, closure } = tool.value;

/** QEMU that waits for its TPM, and the state for it. */
async function withQemu(broker: TestBroker): Promise<string> {
  const words = ['-chardev', 'socket,id=tpm,fd=4,server=on,wait=on'];
  const launch = await testLaunch('one', [{ kind: 'socket', name: 'tpm' }], words);
  const reply = await broker.ask<LaunchedMachine>({ v: 1, call: 'launch', launch });
  assert.ok(reply.ok, JSON.stringify(reply));
  const path = `${broker.site.paths.vars}/one.tpm`;
  mkdirSync(path, { mode: 0o700 });
  chownSync(path, testManagerUid, testManagerUid);
  return path;
}

const state = (path: string, change: Partial<Shown> = {}): Shown => ({
  kind: 'state',
  path,
  access: 'rw',
  claimant: null,
  ...change,
});

async function launchOf(path: string, change: Partial<LaunchRequest> = {}): Promise<LaunchRequest> {
  const { limits } = await testLaunch('one');
  return {
    machine: tpmJob('one'),
    program: 'swtpm',
    binary,
    argv: swtpmArguments(path),
    env: {},
    descriptors: [{ kind: 'netdev', machine: 'one', socket: 'tpm' }],
    devices: [],
    root: closure,
    shown: [state(path)],
    limits: { ...limits, memory: 64 * 1024 ** 2 },
    ...change,
  };
}

test('a manager that asks for more in the name of a TPM gets nothing', async () => {
  await using broker = await startTestBroker();
  const path = await withQemu(broker);
  const { images, paths } = { images: broker.images, paths: broker.site.paths };
  mkdirSync(`${images}/folder`);
  const netdev = { kind: 'netdev', machine: 'one', socket: 'tpm' } as const;
  const image = { kind: 'file', path: `${images}/x`, access: 'rw', claimant: null, reopened: true } as const;
  writeFileSync(image.path, '');
  const attacks: readonly (readonly [Partial<LaunchRequest>, RegExp])[] = [
    [{ argv: [...swtpmArguments(path), '--pid', 'file=/x'] }, /more than a TPM gets/],
    [{ argv: swtpmArguments(path).filter((word) => word !== '--terminate') }, /more than a TPM gets/],
    [{ argv: swtpmArguments(`${path}/..`) }, /more than a TPM gets/],
    [{ env: { LD_PRELOAD: '/usr/lib/x.so' } }, /more than a TPM gets/],
    [{ descriptors: [netdev, netdev] }, /more than a TPM gets/],
    [{ descriptors: [netdev, image] }, /more than a TPM gets/],
    [{ descriptors: [] }, /more than a TPM gets/],
    [{ descriptors: [{ ...netdev, socket: 'net0' }] }, /more than a TPM gets/],
    [{ devices: ['/dev/kvm'] }, /more than a TPM gets/],
    [{ machine: 'qward-x' }, /more than a TPM gets/],
    [{ relaxed: [{ relax: 'seccomp', to: 'off' }] }, /more than a TPM gets/],
    [{ shown: [state(path), state(`${path}2`)] }, /more than a TPM gets/],
    [{ shown: [state(path, { kind: 'file' })] }, /more than a TPM gets/],
    [{ shown: [state(path, { claimant: 910_000_031 })] }, /more than a TPM gets/],
    [{ binary: '/usr/bin/perl' }, /not a server of TPMs/],
  ];
  for (const [change, why] of attacks) await refused(broker, await launchOf(path, change), why);
  for (const [place, why] of [
    [`${images}/folder`, /no file to be shown/],
    ['/etc', /outside the storage roots/],
    [paths.brokerState, /outside the storage roots/],
    [`${paths.vars}/../broker`, /not an absolute path/],
  ] as const)
    await refused(broker, await launchOf(place), why);
  // The state is for no other program.
  const qemu = await testLaunch('two');
  await refused(broker, { ...qemu, shown: [state(path)] }, /is no TPM/);
});

async function refused(broker: TestBroker, launch: LaunchRequest, why: RegExp): Promise<void> {
  const reply = await broker.ask({ v: 1, call: 'launch', launch });
  assert.ok(!reply.ok, JSON.stringify(launch));
  assert.match(reply.refusals.map(({ message }) => message).join('\n'), why);
  assert.deepEqual(
    traces(broker.site).filter((trace) => trace.includes(tpmJob('one'))),
    [],
  );
}

// SECURITY: promise 3. The manager could put there what belongs to somebody else, and have it shown as swtpm's own.
test("a directory of another owner's, or a link, in place of the state is not shown", async () => {
  await using broker = await startTestBroker();
  const path = await withQemu(broker);
  chownSync(path, 0, 0);
  await refused(broker, await launchOf(path), /one\.tpm/);
  rmSync(path, { recursive: true });
  const home = `${broker.images}/home`;
  mkdirSync(home, { mode: 0o755 });
  symlinkSync(home, path);
  await refused(broker, await launchOf(path), /symbolic link/);
  assert.deepEqual(readdirSync(home), []);
  const { uid, mode } = lstatSync(home);
  assert.deepEqual([uid, mode & 0o777], [0, 0o755]);
});

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());

test('an swtpm that fills the directory of its state is ended, and what it made taken away', async () => {
  await defineBare(instance, 'full', 'tpm: true');
  await done(instance, 'start full --paused');
  const state = `${instance.paths.vars}/full.tpm`;
  const { uid, gid } = lstatSync(state);
  // In its place, as the manager, as which it appears there; all of them within a moment, since the one that it stands for is ended then.
  for (let number = 0; number < 40; number += 1) closeSync(openSync(`${state}/${number}`, 'w'));
  await until(
    async () => /swtpm was ended: it made more than 16 files/.test(await done(instance, 'logs full')),
    'it is told',
  );
  await until(() => readdirSync(state).every((name) => !/^\d+$/.test(name)), 'its files are gone');
  assert.equal((await statusOf(instance, 'full')).state, 'paused');
  await done(instance, 'kill full');
  // What it left at its last moment goes with the next start.
  writeFileSync(`${state}/left`, 'x');
  chownSync(`${state}/left`, uid, gid);
  await done(instance, 'start full --paused');
  assert.deepEqual(
    readdirSync(state).filter((name) => /^(?:left|\d+)$/.test(name)),
    [],
  );
  await done(instance, 'kill full');
});

test('what swtpm is to the host: no user, no group, no network, and nothing of it but its state', async () => {
  await defineBare(instance, 'web', 'tpm: true');
  await done(instance, 'start web --paused');
  const record = JSON.parse(
    readFileSync(`${instance.paths.brokerRun}/machines/${tpmJob('web')}.json`, 'utf8'),
  ) as { readonly pid: number; readonly uid: number };
  const machine = await statusOf(instance, 'web');
  assert.notEqual(record.uid, machine.uid);
  const proc = `/proc/${record.pid}`;
  const status = readFileSync(`${proc}/status`, 'utf8');
  assert.match(status, new RegExp(`^Uid:\\t${record.uid}(?:\\t${record.uid}){3}$`, 'm'));
  assert.match(status, /^Groups:\t $/m);
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
    assert.match(status, new RegExp(`^${set}:\\t0+$`, 'm'));
  assert.match(status, /^NoNewPrivs:\t1$/m);
  assert.match(status, /^Seccomp_filters:\t2$/m);
  for (const namespace of ['mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup'])
    for (const other of ['/proc/self', `/proc/${machine.pid}`])
      assert.notEqual(readlinkSync(`${proc}/ns/${namespace}`), readlinkSync(`${other}/ns/${namespace}`));
  assert.deepEqual(
    readFileSync(`${proc}/net/dev`, 'utf8')
      .match(/^ *\w+:/gm)
      ?.map((name) => name.trim()),
    ['lo:'],
  );
  const below = (path: string): readonly string[] => readdirSync(`${proc}/root${path}`).toSorted();
  assert.deepEqual(below('/usr/bin'), ['swtpm']);
  const [, first = ''] = instance.paths.vars.split('/');
  assert.deepEqual(below('/'), ['dev', 'lib', 'lib64', 'proc', first, 'usr'].toSorted());
  assert.deepEqual(below(instance.paths.vars), ['web.tpm']);
  const writable = readFileSync(`${proc}/mountinfo`, 'utf8')
    .split('\n')
    .filter((line) => / rw[, ]/.test(line.split(' - ')[0] ?? ''))
    .map((line) => line.split(' ')[4])
    .filter((target) => !/^\/(?:proc|dev)(?:\/|$)/.test(target ?? ''));
  assert.deepEqual(writable, [`${instance.paths.vars}/web.tpm`]);
  await done(instance, 'kill web');
});
