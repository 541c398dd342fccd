import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isEmulated } from './accelerator.ts';
import { planOf } from './sample-facts.ts';

test('whether a machine is emulated is told by what it was started with', () => {
  assert.equal(isEmulated(planOf('name: a\naccel: tcg').launch), true);
  const kvm = { works: true, reason: '' };
  assert.equal(isEmulated(planOf('name: a', { kvm }).launch), false);
});
