import assert from 'node:assert/strict';
import { test } from 'node:test';
import { editDistance, nearest } from './suggest.ts';

test('distance counts insertions, deletions, replacements and swaps of neighbours as one each', () => {
  const cases: readonly (readonly [string, string, number])[] = [
    ['', 'abc', 3],
    ['abc', '', 3],
    ['disks', 'disks', 0],
    ['diks', 'disks', 1],
    ['diskss', 'disks', 1],
    ['dasks', 'disks', 1],
    ['dsiks', 'disks', 1],
  ];
  for (const [from, to, distance] of cases) assert.equal(editDistance(from, to), distance, `${from} ${to}`);
});

test('the nearest word is found in spite of upper case and separators', () => {
  assert.equal(nearest('cpu_weight', ['cpuQuota', 'cpuWeight']), 'cpuWeight');
  assert.equal(nearest('Memroy', ['machine', 'memory']), 'memory');
});

test('far and long words suggest nothing', () => {
  assert.equal(nearest('usb', ['disks', 'memory']), undefined);
  assert.equal(nearest('x', ['y']), undefined);
  assert.equal(nearest('m'.repeat(10_000), ['memory']), undefined);
});
