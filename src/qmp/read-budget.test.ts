import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maxRestMs, readBudget } from './limits.ts';
import { ReadBudget } from './read-budget.ts';

const { bytes, events, busyMs } = readBudget;
const nothing = { bytes: 0, events: 0, busyMs: 0 };

test('a burst is free and what follows is paid for with rest', () => {
  const budget = new ReadBudget(0);
  assert.equal(budget.spend({ ...nothing, bytes: bytes.burst }, 0), 0);
  assert.equal(budget.spend({ ...nothing, bytes: bytes.perSecond / 2 }, 0), 500);
  assert.equal(budget.spend(nothing, 500), 0);
});

test('bytes, events and our own time each have a bound', () => {
  for (const [kind, { burst, perSecond }] of Object.entries({ bytes, events, busyMs })) {
    const budget = new ReadBudget(0);
    assert.equal(budget.spend({ ...nothing, [kind]: burst }, 0), 0, kind);
    assert.equal(budget.spend({ ...nothing, [kind]: perSecond }, 0), 1000, kind);
  }
});

test('one expensive chunk does not silence QEMU for longer than the longest rest', () => {
  assert.equal(new ReadBudget(0).spend({ ...nothing, busyMs: 3_600_000 }, 0), maxRestMs);
});

test('idle time saves up one burst and no more', () => {
  const budget = new ReadBudget(0);
  assert.equal(budget.spend({ ...nothing, events: events.burst }, 3_600_000), 0);
  assert.ok(budget.spend({ ...nothing, events: 1 }, 3_600_000) > 0);
});

test('a clock that steps back earns nothing', () => {
  const budget = new ReadBudget(1000);
  assert.equal(budget.spend({ ...nothing, events: events.burst }, 0), 0);
  assert.ok(budget.spend({ ...nothing, events: 1 }, 0) > 0);
});
