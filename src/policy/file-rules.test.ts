import assert from 'node:assert/strict';
import { test } from 'node:test';
import { grantOf, placeOf, volumeOf, type Claimant, type FileGrounds } from './file-rules.ts';
import { defaultPolicy, type Policy, type Who } from './policy.ts';

const lab: Who = { users: [], groups: ['lab'] };
const policy: Policy = {
  ...defaultPolicy,
  storageRoots: [
    { path: '/srv/vm', access: 'rw', who: null },
    { path: '/srv/vm/lab', access: 'ro', who: lab },
  ],
  blockDevices: [{ path: '/dev/sdb', access: 'rw', who: { users: ['alice'], groups: [] } }],
  lvmGroups: [{ group: 'vg-one', access: 'rw', who: null }],
};
const roots = policy.storageRoots.map((root, index) => ({ ...root, rule: `storageRoots[${index}]` }));
const user = (name: string, groups: readonly string[]): Claimant => ({
  name,
  uid: 1000,
  gid: 1000,
  groups: [1000],
  isIn: (group) => groups.includes(group),
  machine: 'one',
  claimed: (path) => !path.includes('unclaimed'),
});
const users: Readonly<Record<number, Claimant>> = { 1: user('alice', ['lab']), 2: user('bob', []) };

/** `root`, `user`, or the rule that refuses. */
function decide(
  path: string,
  access: 'ro' | 'rw',
  claimant: number | null,
  change: Partial<Policy> = {},
): string {
  const grounds: FileGrounds = {
    policy: { ...policy, ...change },
    roots,
    claimantOf: (uid) => users[uid] ?? { code: 'not-allowed', message: '', hint: '', rule: 'nobody' },
  };
  const grant = grantOf({ path, access, claimant }, grounds);
  if (!grant.ok) return grant.refusal.rule ?? grant.refusal.message;
  return grant.claimant === null ? 'root' : 'user';
}

test("root's rights are given by the policy alone, to all or to whom it names", () => {
  assert.equal(decide('/srv/vm/a', 'rw', null), 'root');
  assert.equal(decide('/srv/vm/lab/a', 'ro', null), 'storageRoots[1]');
  assert.equal(decide('/srv/vm/lab/a', 'ro', 1), 'root');
  assert.equal(decide('/srv/vm/lab/a', 'rw', 1), 'storageRoots[1]');
  assert.equal(decide('/srv/vm/lab/a', 'ro', 2), 'user');
  assert.equal(decide('/dev/sdb', 'rw', null), 'blockDevices[0]');
  assert.equal(decide('/dev/sdb', 'rw', 1), 'root');
  assert.equal(decide('/dev/sdb', 'rw', 2), 'blockDevices[0]');
  assert.equal(decide('/dev/vg-one/root', 'rw', null), 'root');
  assert.equal(decide('/home/alice/a', 'ro', null), 'storageRoots');
  assert.equal(decide('/dev/sda', 'ro', null), 'blockDevices');
});

test("what a user claimed is opened with the user's rights, also beneath a root for all", () => {
  assert.equal(decide('/srv/vm/a', 'rw', 2), 'user');
  assert.equal(decide('/srv/vm/a', 'rw', 2, { ownerClaims: false }), 'user');
  assert.equal(decide('/home/bob/a', 'rw', 2), 'user');
  assert.equal(decide('/home/bob/a', 'rw', 2, { ownerClaims: false }), 'ownerClaims');
  assert.equal(decide('/srv/vm/lab/a', 'ro', 2, { ownerClaims: false }), 'ownerClaims');
  assert.equal(decide('/srv/vm/unclaimed', 'ro', 1), 'user-claims');
  assert.equal(decide('/srv/vm/lab/unclaimed', 'ro', 1), 'user-claims');
  assert.equal(decide('/home/bob/a', 'rw', 3), 'nobody');
  assert.equal(decide('/srv/vm/../../etc/shadow', 'ro', 2), 'plain-paths');
});

test('a volume is of the group whose name it has, by either of its paths', () => {
  const cases: readonly (readonly [path: string, group: string, name: string | null])[] = [
    ['/dev/vg/root', 'vg', 'vg-root'],
    ['/dev/vg-one/data-two', 'vg-one', 'vg--one-data--two'],
    ['/dev/mapper/vg--one-root', 'vg-one', 'vg--one-root'],
    ['/dev/mapper/vg--one-root', 'vg', null],
    ['/dev/mapper/vg-root', 'vg-one', null],
    ['/dev/mapper/vg-', 'vg', null],
    ['/dev/mapper/control', 'vg', null],
    ['/dev/vg/a/b', 'vg', null],
    ['/dev/vg', 'vg', null],
    ['/srv/vg/root', 'vg', null],
  ];
  assert.deepEqual(
    cases.map(([path, group]) => volumeOf(path, group)),
    cases.map(([, , name]) => name),
  );
});

test('the longest root decides, and the policy numbers its rules', () => {
  assert.equal(placeOf('/srv/vm/lab/a', policy, roots)?.rule, 'storageRoots[1]');
  assert.equal(placeOf('/srv/vmx/a', policy, roots), null);
  assert.equal(placeOf('/dev/mapper/vg--one-root', policy, roots)?.rule, 'lvmGroups[0]');
});
