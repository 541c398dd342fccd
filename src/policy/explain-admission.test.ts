import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LaunchRequest } from '../protocol/launch.ts';
import { explainAdmission } from './explain-admission.ts';
import { rootsOf, type Claimant } from './file-rules.ts';
import { defaultPolicy, type Policy } from './policy.ts';

const policy: Policy = {
  ...defaultPolicy,
  bridges: ['br0', 'br1'].map((bridge) => ({ bridge, who: null })),
  storageRoots: [
    { path: '/srv/vm', access: 'rw', who: null },
    { path: '/srv/team', access: 'rw', who: { users: ['ann'], groups: [] } },
  ],
  blockDevices: [{ path: '/dev/sdb', access: 'ro', who: null }],
  ceilings: { ...defaultPolicy.ceilings, pids: 10 },
};

const claimantOf = (uid: number): Claimant => ({
  name: uid === 1000 ? 'ann' : 'bob',
  uid,
  gid: uid,
  groups: [],
  isIn: () => false,
  machine: 'one',
  claimed: () => true,
});

const file = (path: string, access: 'ro' | 'rw', claimant: number | null) =>
  ({ kind: 'file', path, access, claimant, reopened: false }) as const;

const launch: LaunchRequest = {
  machine: 'web',
  program: 'qemu',
  binary: '/usr/bin/qemu-system-x86_64',
  argv: [],
  env: {},
  descriptors: [
    { kind: 'socket', name: 'qmp' },
    file('/srv/vm/a', 'ro', null),
    file('/srv/vm/a', 'rw', null),
    file('/srv/team/b', 'rw', 1000),
    file('/srv/team/b', 'rw', 1001),
    file('/home/bob/c', 'rw', 1001),
    file('/dev/sdb', 'rw', null),
    file('/etc/shadow', 'ro', null),
    file('/var/lib/qward/vars/web.fd', 'rw', null),
    { kind: 'tap', bridge: 'br1' },
    { kind: 'tap', bridge: 'br2' },
    { kind: 'vhost-net' },
  ],
  devices: ['/dev/kvm'],
  root: [],
  limits: {
    memory: 1 << 20,
    pids: 11,
    cpuWeight: 100,
    cpuQuota: null,
    ioWeight: 100,
    openFiles: 1,
    fileSize: 1,
  },
};

const explain = (more: Partial<Policy>, request: Partial<LaunchRequest> = {}): readonly string[] => {
  const whole = { ...policy, ...more };
  const roots = rootsOf(whole, { path: '/var/lib/qward/vars', ownedBy: 990 });
  return explainAdmission({ ...launch, ...request }, { policy: whole, roots, claimantOf }).map(
    ({ what, resource, rule, refusal }) =>
      `${refusal === null ? 'yes' : 'no'} ${what} ${resource} ${rule ?? '-'}`,
  );
};

test('each part of a launch is decided by itself, with the key that decides', () => {
  assert.deepEqual(explain({}), [
    'yes program /usr/bin/qemu-system-x86_64 qemuBinaries[0]',
    'yes file (rw) /srv/vm/a storageRoots[0]',
    'yes file (rw) /srv/team/b storageRoots[1]',
    'yes file (rw) /home/bob/c ownerClaims',
    'no file (rw) /dev/sdb blockDevices[0]',
    'no file (ro) /etc/shadow storageRoots',
    'yes file (rw) /var/lib/qward/vars/web.fd -',
    'yes bridge br1 bridges[1]',
    'no bridge br2 bridges',
    'yes device /dev/vhost-net devices[1]',
    'yes device /dev/kvm devices[0]',
    'yes limit memory 1048576 ceilings.memory',
    'no limit pids 11 ceilings.pids',
    'yes limit openFiles 1 ceilings.openFiles',
    'yes limit fileSize 1 ceilings.fileSize',
  ]);
});

test('a program that is not listed refuses itself alone, and claims need the word of the policy', () => {
  const descriptors = [file('/home/bob/c', 'rw', 1001)];
  const rows = explain({ ownerClaims: false }, { binary: '/tmp/qemu', descriptors, devices: [] });
  assert.deepEqual(rows.slice(0, 3), [
    'no program /tmp/qemu qemuBinaries',
    'no file (rw) /home/bob/c ownerClaims',
    'yes limit memory 1048576 ceilings.memory',
  ]);
});
