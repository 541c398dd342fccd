import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allows } from '../../test/support/seccomp-coverage.ts';
import { seccompFaults, syscallNumbers } from './seccomp-faults.ts';
import {
  compileProfile,
  compileSeccomp,
  seccompProfiles,
  type ProfileData,
  type ProfileRule,
} from './seccomp.ts';

const profileOf = (...rules: ProfileRule[]): ProfileData => ({
  name: 'test',
  about: '',
  architectures: ['SCMP_ARCH_X86_64'],
  groups: [{ group: 'all', rules }],
});

/** Calls that lead out of a jail or widen the kernel's surface; none may ever stand in a profile. */
const never = [
  'ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd pidfd_open kill tkill',
  'mount umount2 pivot_root chroot move_mount open_tree fsopen fsmount mount_setattr unshare setns',
  'bpf perf_event_open userfaultfd keyctl add_key request_key io_uring_setup io_uring_enter io_uring_register',
  'init_module finit_module delete_module kexec_load kexec_file_load reboot personality iopl ioperm',
  'setuid setgid setreuid setregid setresuid setresgid setgroups setfsuid setfsgid capset',
  'socket socketpair bind connect fork vfork execveat open_by_handle_at name_to_handle_at',
  'mknod mknodat chmod fchmod fchmodat chown fchown fchownat lchown rename link symlink unlink mkdir',
  'setrlimit sched_setattr sched_setscheduler setpriority ioprio_set swapon acct quotactl syslog memfd_secret',
].flatMap((line) => line.split(' '));

/** Calls that change owner, mode, labels, attributes or times of a file, or make another name for it. */
const changing = [
  'chmod fchmod fchmodat fchmodat2 chown fchown fchownat lchown',
  'utime utimes utimensat futimesat',
  'setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat file_setattr',
  'link linkat symlink symlinkat rename renameat renameat2 unlink unlinkat truncate mknod mknodat mkdir mkdirat rmdir',
].flatMap((line) => line.split(' '));

/** The same by ioctl(2): FS_IOC_SETFLAGS, FS_IOC32_SETFLAGS, FS_IOC_FSSETXATTR, FS_IOC_SETVERSION, and FICLONE, FIDEDUPERANGE. */
const changingIoctls = [0x40086602, 0x40046602, 0x401c5820, 0x40087602, 0x40049409, 0xc0189436];

test('every committed profile is without faults', () => {
  for (const profile of Object.values(seccompProfiles)) assert.deepEqual(seccompFaults(profile), []);
});

test('no profile allows a call that leads out of a jail', () => {
  for (const call of never) assert.ok(syscallNumbers.has(call), `${call} is misspelt`);
  const allowed = compileSeccomp('qemu')
    .syscalls.filter(({ action }) => action === 'SCMP_ACT_ALLOW')
    .flatMap(({ names }) => names);
  assert.deepEqual(
    allowed.filter((call) => never.includes(call)),
    [],
  );
});

/** A hook begins processes, and signals those of its own pid namespace. */
const ofShells = ['vfork', 'kill'];

// SECURITY: promise 2. A hook runs whatever of /usr it likes: what that may ask of the kernel is the filter's alone to say.
test("a hook's filter lets it make processes, and no namespace, socket, mount or other identity", () => {
  const { groups } = seccompProfiles.hook;
  const rules = groups.flatMap((group) => group.rules);
  assert.deepEqual(
    rules.map(({ call }) => call).filter((call) => never.includes(call) && !ofShells.includes(call)),
    [],
  );
  assert.equal(
    rules.some(({ call }) => call === 'ioctl' || call === 'prctl'),
    false,
  );
  const clone = rules.find(({ call }) => call === 'clone');
  assert.ok(clone !== undefined);
  assert.ok(allows(clone, [0x11n]) && allows(clone, [0x120_0011n]) && allows(clone, [0x3d_0f00n]));
  for (const flag of [
    0x2_0000n,
    0x200_0000n,
    0x400_0000n,
    0x800_0000n,
    0x1000_0000n,
    0x2000_0000n,
    0x4000_0000n,
    0x2000n,
  ])
    assert.ok(!allows(clone, [0x11n | flag]), flag.toString(16));
  const limits = rules.find(({ call }) => call === 'prlimit64');
  assert.ok(limits !== undefined && !allows(limits, [0n, 7n, 0x7fffn]));
});

/** swtpm: of files that it makes itself in its own directory, the manager's. virtiofsd: of files of the folder, as their owner may. */
const ofState: Readonly<Record<string, readonly string[]>> = {
  swtpm: ['fchmod', 'rename', 'unlink'],
  virtiofsd:
    'mknodat mkdirat fchmod fchmodat fchownat linkat symlinkat unlinkat renameat renameat2 utimensat'.split(
      ' ',
    ),
};

// SECURITY: promise 3. Who has a file open may be its owner in the kernel's eyes: on a mount that maps ids it is.
test('no profile allows a call that changes owner, mode, attributes or times of a file', () => {
  for (const profile of Object.values(seccompProfiles)) {
    const rules = profile.groups.flatMap((group) => group.rules);
    assert.deepEqual(
      rules
        .map(({ call }) => call)
        .filter((call) => changing.includes(call) && !(ofState[profile.name] ?? []).includes(call)),
      [],
    );
    const ioctl = rules.find(({ call }) => call === 'ioctl');
    for (const number of changingIoctls) {
      // The kernel looks at the lower 32 bits alone.
      for (const upper of [0n, 1n << 32n])
        assert.ok(
          ioctl === undefined || !allows(ioctl, [3n, BigInt(number) | upper, 0n]),
          number.toString(16),
        );
    }
  }
});

test('the profile is an allow-list for x86-64 alone, and clone3 falls back to clone', () => {
  const { defaultAction, defaultErrnoRet, architectures, syscalls } = compileSeccomp('qemu');
  assert.deepEqual(
    [defaultAction, defaultErrnoRet, architectures],
    ['SCMP_ACT_ERRNO', 1, ['SCMP_ARCH_X86_64']],
  );
  assert.deepEqual(
    syscalls.filter(({ names }) => names.includes('clone3')),
    [{ names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 }],
  );
});

test('clone makes threads, never processes or namespaces', () => {
  const clone = compileSeccomp('qemu').syscalls.filter(({ names }) => names.includes('clone'));
  assert.equal(clone.length, 1);
  const condition = clone[0]?.args?.[0];
  assert.ok(condition?.valueTwo !== undefined);
  const { value, valueTwo } = condition;
  const passes = (flags: number): boolean => (BigInt(flags) & BigInt(value)) === BigInt(valueTwo);
  const thread = 0x3d0f00;
  assert.ok(passes(thread), "glibc's pthread_create");
  assert.ok(!passes(thread & ~0x400), 'a table of descriptors of its own, where nobody looks');
  assert.ok(!passes(0x11), 'fork');
  assert.ok(!passes(0x4111), 'vfork');
  for (const namespace of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000])
    assert.ok(!passes(thread | namespace), namespace.toString(16));
});

test('conditions become one entry for each alternative, without their reasons', () => {
  const condition = { index: 0, op: 'SCMP_CMP_EQ', value: 1, reason: 'one' };
  const profile = profileOf(
    { call: 'read', reason: 'r' },
    { call: 'prctl', reason: 'p', anyOf: [[condition], [{ ...condition, value: 2 }]] },
    { call: 'write', reason: 'w' },
  );
  assert.deepEqual(compileProfile(profile).syscalls, [
    { names: ['read', 'write'], action: 'SCMP_ACT_ALLOW' },
    { names: ['prctl'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, op: 'SCMP_CMP_EQ', value: 1 }] },
    { names: ['prctl'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, op: 'SCMP_CMP_EQ', value: 2 }] },
  ]);
});

test('faults of a profile are named', () => {
  const wrong: readonly [ProfileData, RegExp][] = [
    [profileOf({ call: 'raed', reason: 'r' }), /raed: x86-64 has no such system call/],
    [profileOf({ call: 'read', reason: 'r' }, { call: 'read', reason: 'r' }), /read: named twice/],
    [profileOf({ call: 'read', reason: ' ' }), /read: has no reason/],
    [profileOf({ call: 'read', reason: 'r', errno: 'EWHAT' }), /read: unknown errno EWHAT/],
    [profileOf({ call: 'read', reason: 'r', anyOf: [] }), /read: an empty list/],
    [profileOf({ call: 'read', reason: 'r', anyOf: [[]] }), /read: an empty list/],
    [profileOf(), /allows nothing/],
    [{ ...profileOf({ call: 'read', reason: 'r' }), architectures: ['SCMP_ARCH_X86'] }, /SCMP_ARCH_X86:/],
  ];
  const condition = { index: 0, op: 'SCMP_CMP_EQ', value: 1, reason: 'one' };
  const conditions: readonly [object, RegExp][] = [
    [{ index: 6 }, /argument 6/],
    [{ op: 'EQ' }, /unknown operator EQ/],
    [{ valueTwo: 1 }, /valueTwo belongs/],
    [{ op: 'SCMP_CMP_MASKED_EQ' }, /valueTwo belongs/],
    [{ value: -1 }, /-1: a whole number/],
    [{ reason: '' }, /a condition has no reason/],
  ];
  for (const [change, expected] of conditions) {
    const rule = { call: 'read', reason: 'r', anyOf: [[{ ...condition, ...change }]] };
    assert.match(seccompFaults(profileOf(rule)).join('\n'), expected);
  }
  for (const [profile, expected] of wrong) assert.match(seccompFaults(profile).join('\n'), expected);
  const twice = profileOf({ call: 'read', reason: 'r', anyOf: [[condition, { ...condition, value: 2 }]] });
  assert.match(seccompFaults(twice).join('\n'), /two conditions on the same argument/);
});
