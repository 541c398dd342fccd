import assert from 'node:assert/strict';
import { test } from 'node:test';
import { byteSize, duration, formatDuration, hostPath, line, parseDuration } from './scalars.ts';
import { formatByteSize, parseByteSize } from './byte-size.ts';

test('sizes: K, M, G, T are binary, KB, MB, GB, TB decimal, a plain number is bytes', () => {
  const cases: readonly (readonly [string | number, number])[] = [
    ['512M', 512 * 1024 ** 2],
    ['2GiB', 2 * 1024 ** 3],
    ['1.5G', 1.5 * 1024 ** 3],
    ['10 GB', 10 * 1000 ** 3],
    ['4096', 4096],
    [4096, 4096],
  ];
  for (const [text, bytes] of cases) assert.equal(parseByteSize(text), bytes, String(text));
});

test('sizes: what is no size, no whole number of bytes or too large is refused', () => {
  for (const text of [
    '',
    '0',
    'G',
    '512m',
    '-1G',
    '1e3',
    '0x10',
    '1,5G',
    '1.3333G',
    '1.001K',
    '9999999T',
    '1 G B',
  ])
    assert.equal(parseByteSize(text), undefined, text);
});

test('sizes and durations are written in the largest unit that is exact', () => {
  assert.deepEqual([1536 * 1024 ** 2, 1024 ** 4, 1000, 3 * 1024].map(formatByteSize), [
    '1536MiB',
    '1TiB',
    1000,
    '3KiB',
  ]);
  assert.deepEqual([0, 500, 90_000, 120_000, 86_400_000].map(formatDuration), [
    '0ms',
    '500ms',
    '90s',
    '2m',
    '24h',
  ]);
});

test('a size out of its range is refused with the range', () => {
  const memory = byteSize({ from: '8MiB', to: '1GiB', step: '1MiB', examples: ['512M'] });
  assert.equal(memory.parse('16M'), 16 * 1024 ** 2);
  for (const text of ['4M', '2G', '16.5M', 2048, true]) {
    const result = memory.safeParse(text);
    assert.equal(
      result.error?.issues[0]?.message,
      'a size such as 512M, from 8MiB to 1GiB in steps of 1MiB',
      String(text),
    );
  }
});

test('durations need a unit and are a day at most', () => {
  assert.deepEqual(['500ms', '30s', '2m', '1h'].map(parseDuration), [500, 30_000, 120_000, 3_600_000]);
  for (const text of ['30', '1d', '-1s', '1.5s', '', 's']) assert.equal(parseDuration(text), undefined, text);
  assert.equal(duration.safeParse('24h').success, true);
  assert.equal(duration.safeParse('25h').success, false);
});

test('paths are absolute, in normal form and printable', () => {
  for (const path of ['/a', '/a/b.c', '/..a/b..', '/.a', '/a b', '/ä', '/a,b=c', '/😀'])
    assert.equal(hostPath.safeParse(path).success, true, path);
  for (const path of [
    '',
    '/',
    'a',
    './a',
    '/a/',
    '//a',
    '/a//b',
    '/a/..',
    '/../a',
    '/.',
    '/a/./b',
    '/a\nb',
    '/a\0',
    '/\ud800',
    '/\u009b',
  ])
    assert.equal(hostPath.safeParse(path).success, false, JSON.stringify(path));
});

test('a line holds no control characters and no line breaks of Unicode', () => {
  assert.deepEqual(
    ['a b 😀', 'a b 😀c'].map((text) => line(5).safeParse(text).success),
    [true, false],
  );
  for (const text of ['\n', '\0', '\u001b[0m', '\u2028', '\ud800'])
    assert.equal(line(9).safeParse(text).success, false);
});
