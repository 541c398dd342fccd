/** The seccomp profile in a jail made by runc: what it refuses, and that QEMU lives with what it allows. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { syscallNumbers } from '../../src/jail/seccomp-faults.ts';
import { seccompProfiles } from '../../src/jail/seccomp.ts';
import type { LaunchRequest } from '../../src/protocol/launch.ts';
import { startJailed } from '../support/jailed-process.ts';
import { buildProber, readProberResults, type Call } from '../support/syscall-prober.ts';

const EPERM = -1;
const EFAULT = -14;
const ENOTTY = -25;
const ENOSYS = -38;

const limits = {
  memory: 64 * 1024 ** 2,
  pids: 16,
  cpuWeight: 100,
  cpuQuota: null,
  ioWeight: 100,
  openFiles: 64,
  fileSize: 1024 ** 2,
};

async function makeCalls(t: TestContext, calls: readonly Call[]): Promise<number[]> {
  const directory = await mkdtemp(join(tmpdir(), 'qward-prober-'));
  t.after(() => rm(directory, { recursive: true }));
  const source = join(directory, 'prober');
  await writeFile(source, buildProber(calls), { mode: 0o755 });
  const launch: LaunchRequest = {
    machine: 'prober',
    binary: '/usr/bin/prober',
    argv: [],
    env: {},
    descriptors: [],
    devices: [],
    root: [{ source, target: '/usr/bin/prober' }],
    limits,
    program: 'qemu',
  };
  await using jailed = await startJailed(launch);
  await jailed.ended(10_000);
  return readProberResults(await jailed.readLog());
}

const numberOf = (call: string): number => {
  const number = syscallNumbers.get(call);
  assert.ok(number !== undefined, call);
  return number;
};

test('every call that the profile does not name is refused', async (t) => {
  const rules = seccompProfiles.qemu.groups.flatMap((group) => group.rules);
  const named = new Set(rules.map(({ call }) => call));
  const refused = [...syscallNumbers.keys()].filter((call) => !named.has(call));
  assert.ok(refused.length > 250);
  const results = await makeCalls(
    t,
    refused.map((call) => [numberOf(call)]),
  );
  assert.equal(results.length, refused.length);
  // The runtime answers numbers beyond those of the profile with ENOSYS, so that newer C libraries fall back.
  const reached = refused.filter((_, index) => ![EPERM, ENOSYS].includes(results[index] ?? 0));
  assert.deepEqual(reached, []);
});

test('conditions on arguments hold, and the same calls pass without what is refused', async (t) => {
  const thread = 0x3d0f00;
  const newUser = 0x10000000;
  const cases: readonly (readonly [what: string, call: Call, expected: number])[] = [
    ['fork by clone', [numberOf('clone'), 17], EPERM],
    ['a thread in a new user namespace', [numberOf('clone'), thread | newUser], EPERM],
    ['clone3 falls back to clone', [numberOf('clone3'), 0, 0], ENOSYS],
    ['setting a limit', [numberOf('prlimit64'), 0, 7, 1, 0], EPERM],
    ['reading a limit', [numberOf('prlimit64'), 0, 7, 0, 0], 0],
    ['PR_SET_DUMPABLE', [numberOf('prctl'), 4, 1], EPERM],
    ['PR_SET_NAME at a bad address', [numberOf('prctl'), 15, 0], EFAULT],
    ['socket of family AF_UNIX', [numberOf('socket'), 1, 1, 0], EPERM],
    ['socket of family AF_INET', [numberOf('socket'), 2, 1, 0], EPERM],
    ['openat with O_CREAT', [numberOf('openat'), -100, 0, 0x40, 0o600], EPERM],
    ['openat with O_TMPFILE', [numberOf('openat'), -100, 0, 0x41_0002, 0o600], EPERM],
    ['openat of a bad address', [numberOf('openat'), -100, 0, 0], EFAULT],
    ['FS_IOC_SETFLAGS', [numberOf('ioctl'), 1, 0x40086602, 0], EPERM],
    ['FS_IOC_FSSETXATTR', [numberOf('ioctl'), 1, 0x401c5820, 0], EPERM],
    [
      'FS_IOC_SETFLAGS with bits that the kernel does not see',
      [numberOf('ioctl'), 1, 0x1_4008_6602, 0],
      EPERM,
    ],
    ['TIOCSTI', [numberOf('ioctl'), 0, 0x5412, 0], EPERM],
    ['BLKSSZGET of a file', [numberOf('ioctl'), 1, 0x1268, 0], ENOTTY],
    ['F_SETLEASE', [numberOf('fcntl'), 1, 1024, 1], EPERM],
    ['F_SETOWN', [numberOf('fcntl'), 1, 8, 1], EPERM],
    ['FUTEX_LOCK_PI', [numberOf('futex'), 0, 6, 0, 0, 0], EPERM],
    ['FUTEX_CMP_REQUEUE_PI', [numberOf('futex'), 0, 12, 0, 0, 0], EPERM],
    ['FUTEX_WAKE of nobody at a bad address', [numberOf('futex'), 0, 1, 1], EFAULT],
    ['MADV_MERGEABLE', [numberOf('madvise'), 0x40_0000, 4096, 12], EPERM],
    ['MADV_PAGEOUT', [numberOf('madvise'), 0x40_0000, 4096, 21], EPERM],
    ['MADV_DONTFORK of nothing', [numberOf('madvise'), 0x40_0000, 0, 10], 0],
    ['PR_SET_MM', [numberOf('prctl'), 35, 1], EPERM],
    ['pid in its own namespace', [numberOf('getpid')], 1],
  ];
  const results = await makeCalls(
    t,
    cases.map(([, call]) => call),
  );
  assert.deepEqual(
    cases.map(([what], index) => [what, results[index]]),
    cases.map(([what, , expected]) => [what, expected]),
  );
});

test('a call by the x32 numbers ends the process', async (t) => {
  const x32 = 0x40000000;
  assert.deepEqual(await makeCalls(t, [[numberOf('getpid') + x32]]), []);
});
