import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StartGate } from './start-gate.ts';

const never = new AbortController().signal;

test('a start alone waits for nothing, and one among others until the last is up', async () => {
  const gate = new StartGate();
  const [first, second] = [gate.enter(), gate.enter()];
  first();
  let quiet = false;
  const waiting = gate.quiet(10_000, never).then(() => (quiet = true));
  await Promise.resolve();
  assert.equal(quiet, false);
  first();
  second();
  await waiting;
  await gate.quiet(10_000, never);
});

test('starts that never cease hold a guest up for the limit only', async () => {
  const gate = new StartGate();
  gate.enter();
  await gate.quiet(5, never);
});

test('a start that is given up does not wait', async () => {
  const gate = new StartGate();
  gate.enter();
  const given = new AbortController();
  const waiting = gate.quiet(10_000, given.signal);
  given.abort();
  await waiting;
  await gate.quiet(10_000, given.signal);
});
