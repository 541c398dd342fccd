import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OwnRule } from '../protocol/rules.ts';
import { decideClaim, refuseClaimant } from './claim-rules.ts';
import { defaultPolicy, type Policy } from './policy.ts';
import type { Person } from './who.ts';

const person = (name: string | undefined, ...groups: string[]): Person => ({
  name,
  isIn: (group) => groups.includes(group),
});
const alice = person('alice', 'artists');
const bob = person('bob');
const admin = person('root2', 'qward-admin');

const policy: Policy = {
  ...defaultPolicy,
  storageRoots: [
    { path: '/srv/all', access: 'rw', who: null },
    { path: '/srv/all/iso', access: 'ro', who: null },
    { path: '/srv/art', access: 'rw', who: { users: [], groups: ['artists'] } },
  ],
  blockDevices: [{ path: '/dev/sdb', access: 'ro', who: { users: ['alice'], groups: [] } }],
  lvmGroups: [{ group: 'vg-a', access: 'rw', who: null }],
};
const own = ['/etc/qward', '/run/qward', '/var/lib/qward/broker'];

/** `claim`, `by-policy`, or the rule that refuses. */
function decide(path: string, access: 'ro' | 'rw', user: Person, change: Partial<Policy> = {}): string {
  const changed = { ...policy, ...change };
  const roots = changed.storageRoots.map((root, index) => ({ ...root, rule: `storageRoots[${index}]` }));
  const decision = decideClaim({ path, access }, user, { policy: changed, roots, own });
  return typeof decision === 'string' ? decision : (decision.rule ?? 'no rule');
}

test('a user claims own files anywhere, and where users may not, only what a `who` gives', () => {
  const noClaims = { ownerClaims: false };
  assert.equal(decide('/home/bob/a.img', 'rw', bob), 'claim');
  assert.equal(decide('/home/bob/a.img', 'rw', bob, noClaims), 'ownerClaims');
  assert.equal(decide('/srv/art/a.img', 'rw', alice, noClaims), 'claim');
  assert.equal(decide('/srv/art/a.img', 'rw', bob, noClaims), 'ownerClaims');
  assert.equal(decide('/srv/art/a.img', 'rw', bob), 'claim');
});

test('what the policy gives to all needs no claim of an administrator, and one of anybody else', () => {
  assert.equal(decide('/srv/all/a.img', 'rw', admin), 'by-policy');
  assert.equal(decide('/srv/all/a.img', 'rw', bob), 'claim');
  assert.equal(decide('/srv/all/a.img', 'rw', bob, { ownerClaims: false }), 'claim');
  assert.equal(decide('/srv/all/iso/a.iso', 'ro', admin), 'by-policy');
  assert.equal(decide('/srv/all/iso/a.iso', 'rw', admin), 'storageRoots[1]');
  assert.equal(decide('/srv/all/iso/a.iso', 'rw', bob), 'storageRoots[1]');
});

test('devices: those that the policy lists, for whom it names', () => {
  assert.equal(decide('/dev/sda', 'ro', alice), 'blockDevices');
  assert.equal(decide('/dev/sdb', 'ro', alice), 'claim');
  assert.equal(decide('/dev/sdb', 'rw', alice), 'blockDevices[0]');
  assert.equal(decide('/dev/sdb', 'ro', bob), 'blockDevices[0]');
  assert.equal(decide('/dev/vg-a/disk', 'rw', bob), 'claim');
  assert.equal(decide('/dev/mapper/vg--a-disk', 'rw', bob), 'claim');
  assert.equal(decide('/dev/mapper/vg--a--b-disk', 'rw', bob), 'blockDevices');
  assert.equal(decide('/dev/shm/x', 'rw', alice), 'blockDevices');
  assert.equal(decide('/dev/sdb/../sda', 'ro', alice), 'plain-paths');
});

test('what is nobody’s to give is refused whatever the policy says', () => {
  const everywhere = { storageRoots: [{ path: '/var', access: 'rw' as const, who: null }] };
  const paths = {
    'kernel-files': ['/proc/1/root/etc/shadow', '/proc', '/sys/kernel', '/dev'],
    'own-files': [
      '/etc/qward/policy.json',
      '/run/qward',
      '/run/qward/claims.sock',
      '/var/lib/qward/broker/claims.json',
    ],
    'plain-paths': ['/home/bob/../alice/a', '/home//a', '/home/a/', '/home/a\nb', 'a.img', ''],
  } as const satisfies Partial<Record<OwnRule, readonly string[]>>;
  for (const [rule, named] of Object.entries(paths))
    for (const path of named)
      for (const user of [alice, admin]) assert.equal(decide(path, 'ro', user, everywhere), rule, path);
  assert.equal(decide('/run/qward2/a', 'ro', bob), 'claim');
  assert.equal(decide('/process/a', 'ro', bob), 'claim');
});

test('root, the manager, machines and uids without an account never claim', () => {
  const { uidRange } = policy;
  const ruleOf = (uid: number, user: Person): string | undefined =>
    refuseClaimant(uid, user, { uidRange, managerUid: 990 })?.rule;
  const messageOf = (uid: number, user: Person): string | undefined =>
    refuseClaimant(uid, user, { uidRange, managerUid: 990 })?.message;
  assert.equal(ruleOf(0, person('root')), 'storageRoots');
  assert.match(messageOf(990, person('qward')) ?? '', /manager's/);
  assert.equal(ruleOf(uidRange.base, person('qward-machines')), 'uidRange');
  assert.equal(ruleOf(uidRange.base + uidRange.count - 1, person(undefined)), 'uidRange');
  assert.match(messageOf(200_000, person(undefined)) ?? '', /no account/);
  assert.match(messageOf(65_534, person('nobody')) ?? '', /anybody's/);
  assert.equal(messageOf(1000, bob), undefined);
});
