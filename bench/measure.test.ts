import assert from 'node:assert/strict';
import { test } from 'node:test';
import { summarise } from './measure.ts';

test('the median of an odd series is its middle, of an even one the mean of the two in the middle', () => {
  assert.equal(summarise([9, 1, 5]).median, 5);
  assert.equal(summarise([4, 1, 2, 9]).median, 3);
});

test('an empty series is refused', () => {
  assert.throws(() => summarise([]), RangeError);
});
