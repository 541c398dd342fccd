import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge, render, type Row } from './table.ts';

const row: Row = {
  what: 'start',
  unit: 'ms',
  qward: 200,
  other: 400,
  target: { kind: 'ratio', atMost: 0.45 },
  note: '',
};

test('a ratio is held against its limit', () => {
  assert.equal(judge(row).met, false);
  assert.equal(judge({ ...row, qward: 100 }).met, true);
});

test('a share of what the other side does must reach its limit', () => {
  const share: Row = { ...row, target: { kind: 'share', atLeast: 0.95 } };
  assert.equal(judge({ ...share, qward: 379 }).met, false);
  assert.equal(judge({ ...share, qward: 381 }).met, true);
});

test('what could not be measured is neither met nor missed', () => {
  assert.equal(judge({ ...row, other: null }).met, null);
  assert.match(render([judge({ ...row, qward: null, note: 'no systemd' })]), /not measured \(no systemd\)/);
});

test('a rate must reach its limit, a size must not pass it', () => {
  assert.equal(judge({ ...row, target: { kind: 'at-least', value: 300 } }).met, false);
  assert.equal(judge({ ...row, target: { kind: 'at-most', value: 300 } }).met, true);
});
