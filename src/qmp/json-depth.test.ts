import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { nestsWithin } from './json-depth.ts';

const within = (text: string, limit: number): boolean => nestsWithin(Buffer.from(text), limit);
const depthOf = (value: unknown): number =>
  typeof value === 'object' && value !== null
    ? 1 + Math.max(0, ...Object.values(value).map((part) => depthOf(part)))
    : 0;

test('the depth of any JSON is found exactly', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 8 }), fc.integer({ min: 0, max: 10 }), (value, limit) => {
      assert.equal(within(JSON.stringify(value), limit), depthOf(value) <= limit);
    }),
    { numRuns: 300 },
  );
});

test('64 levels pass, 65 and 100,000 do not', () => {
  const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
  assert.ok(within(nested(64), 64));
  assert.ok(!within(nested(65), 64));
  assert.ok(!within(nested(100_000), 64));
  assert.ok(!within('{"a":'.repeat(100_000), 64));
});

test('brackets in strings do not count, and an escaped quote does not end a string', () => {
  assert.ok(within(JSON.stringify(['['.repeat(200), `"${'{'.repeat(200)}`, '\\', ']']), 1));
  assert.ok(!within(String.raw`["\\",[["x"]]]`, 2));
});

test('closing first buys no depth for later', () => {
  assert.ok(!within(`${']'.repeat(100)}${'['.repeat(100)}`, 64));
});
