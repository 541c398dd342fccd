import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultPolicy, type Policy } from '../policy/policy.ts';
import { claimantOf } from './claimant.ts';

const team = { users: ['alice'], groups: [] };
const policy: Policy = {
  ...defaultPolicy,
  storageRoots: [
    { path: '/images', access: 'rw', who: null },
    { path: '/images/team', access: 'rw', who: team },
    { path: '/images/team/all', access: 'ro', who: null },
  ],
  blockDevices: [
    { path: '/dev/sdx', access: 'rw', who: null },
    { path: '/dev/sdy', access: 'rw', who: team },
  ],
  lvmGroups: [{ group: 'guests', access: 'rw', who: null }],
};
const paths = [
  '/images/a',
  '/images/team/a',
  '/images/team/all/a',
  '/imagesx/a',
  '/home/alice/a',
  '/dev/sdx',
  '/dev/sdy',
  '/dev/guests/a',
];

const of = (ownerUid: number, ownerIsAdministrator: boolean): (number | null)[] =>
  paths.map((path) => claimantOf(path, { ownerUid, ownerIsAdministrator, policy }));

test("an administrator's machine uses what the policy gives to all, by the longest root, and claims for the rest", () => {
  assert.deepEqual(of(1000, true), [null, 1000, null, 1000, 1000, null, 1000, null]);
});

test("every file of a user's machine is asked for with the user's claim", () => {
  assert.deepEqual(
    of(1000, false),
    paths.map(() => 1000),
  );
});

test('root never claims', () => {
  assert.deepEqual(
    of(0, true),
    paths.map(() => null),
  );
  assert.deepEqual(
    of(0, false),
    paths.map(() => null),
  );
});
