import assert from 'node:assert/strict';
import { test } from 'node:test';
import { usageOf, type Stats } from './usage.ts';

const stats = (name: string, at: number, seconds: number | null, more: Partial<Stats> = {}): Stats => ({
  name,
  state: 'running',
  at: new Date(at).toISOString(),
  cpu: seconds === null ? null : { seconds, cpus: 2 },
  memory: null,
  disks: null,
  nics: [],
  ...more,
});
const disk = (writtenBytes: number): Stats['disks'] => [
  { disk: 'a', readBytes: 0, writtenBytes, reads: 0, writes: 0, flushes: 0 },
];

test('figures are those of a second, the busiest machine first', () => {
  const rows = usageOf(
    [stats('a', 0, 1, { disks: disk(1000) }), stats('b', 0, 1)],
    [stats('a', 2000, 2, { disks: disk(5000) }), stats('b', 2000, 4)],
  );
  assert.deepEqual(
    rows.map(({ name, cpu, written, read }) => [name, cpu, written, read]),
    [
      ['b', 150, null, null],
      ['a', 50, 2000, 0],
    ],
  );
});

test('a machine that is new, or was started anew meanwhile, has no figures yet', () => {
  const rows = usageOf([stats('a', 0, 9)], [stats('a', 2000, 1), stats('b', 2000, 5)]);
  assert.deepEqual(
    rows.map(({ name, cpu }) => [name, cpu]),
    [
      ['a', null],
      ['b', null],
    ],
  );
});
