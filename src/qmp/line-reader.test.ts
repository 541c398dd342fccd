import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { LineReader } from './line-reader.ts';
import { maxLineBytes } from './limits.ts';

/** Bytes cut at the given places. */
function cut(bytes: Buffer, places: readonly number[]): readonly Buffer[] {
  const ends = [...places.map((place) => place % (bytes.length + 1)), bytes.length].sort((a, b) => a - b);
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
}

function readAll(reader: LineReader, chunks: readonly Buffer[]): readonly string[] {
  const lines: string[] = [];
  for (const chunk of chunks)
    assert.ok(
      reader.push(chunk, (line) => {
        lines.push(line.toString('utf8'));
        return true;
      }),
    );
  return lines;
}

test('lines are the same however the stream is cut', () => {
  const line = fc.string({ unit: 'binary', maxLength: 40 }).map((text) => text.replaceAll('\n', ' '));
  fc.assert(
    fc.property(fc.array(line, { maxLength: 12 }), fc.array(fc.nat(), { maxLength: 30 }), (lines, places) => {
      const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(''), 'utf8');
      const expected = bytes.toString('utf8').split('\n').slice(0, -1);
      assert.deepEqual(readAll(new LineReader(), cut(bytes, places)), expected);
    }),
    { numRuns: 100 },
  );
});

test('a line of exactly the limit passes and one byte more does not, in one chunk as byte by byte', () => {
  const atLimit = Buffer.from(`${'x'.repeat(64)}\n`);
  const above = Buffer.from(`${'x'.repeat(65)}\n`);
  for (const size of [1, 7, 64, 65, 66]) {
    const chunksOf = (bytes: Buffer): readonly Buffer[] =>
      Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
        bytes.subarray(index * size, (index + 1) * size),
      );
    assert.deepEqual(readAll(new LineReader(64), chunksOf(atLimit)), ['x'.repeat(64)]);
    const reader = new LineReader(64);
    const taken = chunksOf(above).every((chunk) => reader.push(chunk, () => assert.fail('a line came out')));
    assert.ok(!taken, `chunks of ${size}`);
  }
});

test('bytes without a newline are refused at the limit, not gathered', () => {
  const reader = new LineReader();
  const chunk = Buffer.alloc(64 * 1024, 'x');
  let taken = 0;
  while (reader.push(chunk, () => true)) taken += chunk.length;
  assert.equal(taken, maxLineBytes);
});

test('a million single bytes cost one line of memory', () => {
  const reader = new LineReader();
  const before = process.memoryUsage();
  for (let sent = 0; sent < maxLineBytes; sent += 1) assert.ok(reader.push(Buffer.from('x'), () => true));
  const grown = process.memoryUsage().arrayBuffers - before.arrayBuffers;
  assert.ok(grown < 8 * maxLineBytes, `${grown} bytes`);
});

test('reading stops at the line after which nothing is wanted', () => {
  const seen: string[] = [];
  const taken = new LineReader().push(Buffer.from('a\nb\nc\n'), (line) => {
    seen.push(line.toString());
    return line.toString() !== 'b';
  });
  assert.ok(taken);
  assert.deepEqual(seen, ['a', 'b']);
});
