import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StartGate } from './start-gate.ts';

test('a start alone waits for nothing, and one among others until the last is up', async () => {
  const gate = new StartGate();
  const [first, second] = [gate.enter(), gate.enter()];
  first();
  let quiet = false;
  const waiting = gate.quiet(10_000).then(() => (quiet = true));
  await Promise.resolve();
  assert.equal(quiet, false);
  first();
  second();
  await waiting;
  await gate.quiet(10_000);
});

test('starts that never cease hold a guest up for the limit only', async () => {
  const gate = new StartGate();
  gate.enter();
  await gate.quiet(5);
});
