import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StandStill } from './stand-still.ts';

test('a guest stands still for half a minute at the most, or ten times as long as its user said', () => {
  assert.equal(new StandStill(300).limitMs, 30_000);
  assert.equal(new StandStill(60_000).limitMs, 600_000);
  const still = new StandStill(1);
  assert.equal(still.isTooLong(true, 0), false);
  assert.equal(still.isTooLong(true, 90_000), false);
  assert.equal(still.isTooLong(false, 100_000), false);
  assert.equal(still.isTooLong(false, 130_000), false);
  assert.equal(still.isTooLong(false, 130_001), true);
});

test('what went on meanwhile is counted anew', () => {
  const still = new StandStill(1);
  still.isTooLong(false, 0);
  still.isTooLong(true, 20_000);
  assert.equal(still.isTooLong(false, 29_000), false);
  assert.equal(still.isTooLong(false, 40_000), false);
  assert.equal(still.isTooLong(false, 60_000), true);
});
