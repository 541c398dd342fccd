import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeTrial } from './runtime-choice.ts';

const held =
  'Name:\tcat\nPid:\t1\nUid:\t7\t7\t7\t7\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n';

test('a jail that holds is taken, and every wall that does not is named', () => {
  assert.equal(judgeTrial(held, 7), undefined);
  assert.equal(
    judgeTrial(held.replace('CapBnd:\t0000000000000000', 'CapBnd:\t0000000000000001'), 7),
    'the jail does not hold: CapBnd',
  );
  assert.equal(
    judgeTrial(held.replace('Seccomp:\t2', 'Seccomp:\t0').replace('Privs:\t1', 'Privs:\t0'), 8),
    'the jail does not hold: Uid, NoNewPrivs, Seccomp',
  );
  assert.match(
    judgeTrial('readdirent /proc/self/fd: operation not permitted', 7) ?? '',
    /did not run: readdirent/,
  );
});
