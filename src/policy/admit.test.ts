import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Descriptor, LaunchRequest } from '../protocol/launch.ts';
import { admit } from './admit.ts';
import { rootOf, type FileGrounds } from './file-rules.ts';
import { defaultPolicy } from './policy.ts';

const roots = [
  { path: '/srv/vm', access: 'rw', who: null },
  { path: '/srv/vm/iso', access: 'ro', who: null },
] as const;

const launch: LaunchRequest = {
  machine: 'web1',
  binary: '/usr/bin/qemu-system-x86_64',
  argv: [],
  env: {},
  descriptors: [],
  devices: [],
  root: [{ source: '/usr/lib/x86_64-linux-gnu/libc.so.6', target: '/usr/lib/x86_64-linux-gnu/libc.so.6' }],
  limits: {
    memory: 1 << 30,
    pids: 100,
    cpuWeight: 100,
    cpuQuota: null,
    ioWeight: 100,
    openFiles: 100,
    fileSize: 1 << 30,
  },
  program: 'qemu',
};
const file = (path: string, access: 'ro' | 'rw' = 'ro'): Descriptor => ({
  kind: 'file',
  path,
  access,
  claimant: null,
  reopened: false,
});
const grounds: FileGrounds = {
  policy: defaultPolicy,
  roots: roots.map((root, index) => ({ ...root, rule: `storageRoots[${index}]` })),
  claimantOf: (uid) => ({ code: 'not-allowed', message: `uid ${uid} claims nothing`, hint: 'none' }),
};
const refusalsOf = (change: Partial<LaunchRequest>): string[] =>
  admit({ ...launch, ...change }, grounds).map(({ message }) => message);

test('what the policy lists is admitted', () => {
  assert.deepEqual(
    refusalsOf({ descriptors: [file('/srv/vm/web1.qcow2', 'rw'), file('/srv/vm/iso/debian.iso')] }),
    [],
  );
});

test('files outside the roots are refused, however they are written', () => {
  for (const path of [
    '/etc/shadow',
    '/srv/vm/../../etc/shadow',
    '/srv/vm/./x',
    '/srv/vmx/disk',
    '/srv/vm',
    '/srv//vm/x',
    '/proc/1/root/etc/shadow',
    '/dev/sda',
    'srv/vm/x',
    '/srv/vm/a\nb',
  ]) {
    assert.equal(refusalsOf({ descriptors: [file(path)] }).length, 1, path);
  }
});

test('the longest root decides about writing', () => {
  assert.match(refusalsOf({ descriptors: [file('/srv/vm/iso/debian.iso', 'rw')] })[0] ?? '', /read-only/);
  const found = rootOf('/srv/vm/iso/a', 'ro', roots);
  assert.ok(found.ok);
  assert.deepEqual(found, { ok: true, claimant: null, place: { kind: 'root', ...roots[1], relative: 'a' } });
});

test('every refusal comes at once, and names rule and cure', () => {
  const refusals = admit(
    {
      ...launch,
      binary: '/tmp/qemu',
      descriptors: [file('/etc/shadow'), { kind: 'tap', bridge: 'br0' }],
      limits: { ...launch.limits, pids: 60_000 },
    },
    grounds,
  );
  assert.deepEqual(
    refusals.map(({ rule }) => rule),
    ['qemuBinaries', 'storageRoots', 'bridges', 'ceilings.pids'],
  );
  for (const { hint } of refusals) assert.match(hint, /policy\.json|storage|lower/);
});

test('a jail shows nothing outside /usr', () => {
  for (const path of ['/etc/shadow', '/home/a', '/usr/../etc/shadow', '/usr', '/usrlocal/x']) {
    assert.equal(refusalsOf({ root: [{ source: path, target: '/usr/x' }] }).length, 1, path);
    assert.equal(refusalsOf({ root: [{ source: '/usr/x', target: path }] }).length, 1, path);
  }
});

test('a wall gives way by a line for it and the machine, and for nothing else', () => {
  const ask = (relaxed: LaunchRequest['relaxed'], relaxations: object[], more: object = {}): string[] =>
    admit(
      { ...launch, relaxed: relaxed ?? [] },
      {
        ...grounds,
        policy: { ...defaultPolicy, relaxations: relaxations as never, ...more },
      },
    ).map(({ message }) => message);
  const off = { relax: 'seccomp', to: 'off' } as const;
  assert.equal(ask([off], []).length, 1);
  assert.equal(ask([off], [{ ...off, machines: ['other'] }]).length, 1);
  assert.equal(ask([off], [{ relax: 'seccomp', to: 'qemu', machines: null }]).length, 1);
  assert.deepEqual(ask([off], [{ ...off, machines: null }]), []);
  assert.deepEqual(ask([off], [{ ...off, machines: ['web1'] }]), []);
  const root = { relax: 'user', to: 'root' } as const;
  assert.match(ask([root], [{ ...root, machines: null }])[0] ?? '', /may not run as root/);
  assert.deepEqual(ask([root], [{ ...root, machines: null }], { allowRoot: true }), []);
  assert.equal(
    ask([{ relax: 'namespace', to: 'mount' }], [{ relax: 'namespace', to: 'mount', machines: null }]).length,
    1,
  );
});

test('with raw commands every block device of the machine must be one for them', () => {
  const relaxed = [{ relax: 'capability', to: 'sys_rawio' }] as const;
  const disk = (rawio: boolean): string[] =>
    admit(
      { ...launch, relaxed, descriptors: [file('/dev/sdb', 'rw')] },
      {
        ...grounds,
        policy: {
          ...defaultPolicy,
          relaxations: [{ ...relaxed[0], machines: null }],
          blockDevices: [{ path: '/dev/sdb', access: 'rw', who: null, rawio }],
        },
      },
    ).map(({ hint }) => hint);
  assert.deepEqual(disk(true), []);
  assert.match(disk(false)[0] ?? '', /"rawio": true/);
});

test("a user's session gives what the user has, and names the system instance for the rest", () => {
  const inSession = (one: NonNullable<LaunchRequest['relaxed']>[number]) =>
    admit({ ...launch, relaxed: [one] }, { ...grounds, policy: { ...defaultPolicy, session: 1000 } });
  for (const one of [
    { relax: 'capability', to: 'sys_rawio' },
    { relax: 'user', to: 'daemon' },
    { relax: 'device-cgroup', to: 'off' },
    { relax: 'namespace', to: 'pid' },
  ] as const) {
    const [refusal, ...more] = inSession(one);
    assert.deepEqual(more, []);
    assert.match(refusal?.message ?? '', /is nothing that a user's session can give/);
    assert.match(refusal?.hint ?? '', /system instance/);
  }
  for (const one of [
    { relax: 'seccomp', to: 'off' },
    { relax: 'syscall', to: 'kcmp' },
    { relax: 'namespace', to: 'net' },
  ] as const)
    assert.deepEqual(inSession(one), []);
});

test('a further queue is one of a TAP device of the same launch, and of nothing else', () => {
  const tap = { kind: 'tap', bridge: 'br0' } as const;
  const card = { kind: 'card', network: 'lan', nic: 'net', mac: '52:54:00:00:00:01' } as const;
  const queue = (of: number) => ({ kind: 'queue', of }) as const;
  const policy = { ...defaultPolicy, bridges: [{ bridge: 'br0', who: null }] };
  const refused = (...descriptors: LaunchRequest['descriptors']): number =>
    admit({ ...launch, descriptors }, { ...grounds, policy }).length;
  assert.equal(refused(tap, queue(3), queue(3)), 0);
  assert.equal(refused(card, queue(3)), 0);
  assert.equal(refused(file('/srv/vm/iso/debian.iso'), queue(3)), 1);
  assert.equal(refused({ kind: 'vhost-net' }, queue(3)), 1);
  // Of a queue, of itself, of one that comes later or never, of the log.
  assert.equal(refused(tap, queue(3), queue(4)), 1);
  assert.equal(refused(tap, queue(4)), 1);
  assert.equal(refused(queue(4), tap), 1);
  assert.equal(refused(tap, queue(200)), 1);
  assert.equal(refused(tap, queue(2)), 1);
});
