import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noUse, quotaFaults, quotaFor, sumOf, type Use } from './quota.ts';

const GiB = 1024 ** 3;
const unbounded = { machines: null, cpus: null, memory: null, disk: null };
const quota = (users: string[], groups: string[] = []) => ({ ...unbounded, who: { users, groups } });
const person = (name: string, ...groups: string[]) => ({
  name,
  isIn: (group: string) => groups.includes(group),
});
const use = (parts: Partial<Use>): Use => ({ ...noUse, ...parts });

test('the first quota that names a user counts', () => {
  const quotas = [quota(['bob']), quota([], ['staff']), quota(['alice'])];
  assert.equal(quotaFor(quotas, person('alice', 'staff'))?.rule, 'quotas[1]');
  assert.equal(quotaFor(quotas, person('alice'))?.rule, 'quotas[2]');
  assert.equal(quotaFor(quotas, person('carol')), undefined);
  assert.equal(quotaFor(quotas, { name: undefined, isIn: () => false }), undefined);
});

test('each bound that would be passed is told with its rule, what is used and what would be needed', () => {
  const applied = { rule: 'quotas[0]', quota: { ...quota(['alice']), machines: 2, memory: 4 * GiB } };
  const before = use({ machines: 2, memory: 3 * GiB, cpus: 100 });
  const needed = use({ machines: 3, memory: 5 * GiB, cpus: 200 });
  const faults = quotaFaults('alice', applied, { before, needed });
  assert.deepEqual(
    faults.map(({ code, rule, message }) => [code, rule, message]),
    [
      [
        'policy-refused',
        'quotas[0]',
        'the quota of user alice is 2 machines; 2 machines are used, and 3 machines would be needed',
      ],
      [
        'policy-refused',
        'quotas[0]',
        'the quota of user alice is 4096 MiB of memory; 3072 MiB of memory are used, and 5120 MiB of memory would be needed',
      ],
    ],
  );
  assert.deepEqual(
    quotaFaults('alice', applied, { before, needed: use({ machines: 2, memory: 4 * GiB }) }),
    [],
  );
});

test('what makes it no worse is allowed where a quota was lowered', () => {
  const applied = { rule: 'quotas[0]', quota: { ...quota(['alice']), memory: GiB } };
  const before = use({ memory: 8 * GiB });
  assert.deepEqual(quotaFaults('alice', applied, { before, needed: use({ memory: 6 * GiB }) }), []);
  assert.equal(quotaFaults('alice', applied, { before, needed: use({ memory: 9 * GiB }) }).length, 1);
});

test('uses are added', () => {
  const one = { machines: 1, cpus: 2, memory: 3, disk: 4 };
  assert.deepEqual(sumOf([one, one]), { machines: 2, cpus: 4, memory: 6, disk: 8 });
  assert.deepEqual(sumOf([]), noUse);
});
