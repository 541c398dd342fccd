import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseArguments, parseKeys } from './arguments.ts';

test('options with and without value, one dash or two, and a bare image are told apart', () => {
  assert.deepEqual(parseArguments(['-S', '--machine', 'q35', 'disk.img', '-m']), [
    { name: 'S', value: '' },
    { name: 'machine', value: 'q35' },
    { name: 'hda', value: 'disk.img' },
    { name: 'm', value: '' },
  ]);
});

test('keys come from lists and from JSON', () => {
  assert.deepEqual(
    [...parseKeys('socket,id=a,,b,server', 'backend')],
    [
      ['backend', 'socket'],
      ['id', 'a,b'],
      ['server', 'on'],
    ],
  );
  assert.deepEqual(
    [...parseKeys('{"driver":"qcow2","file":{"driver":"file"},"n":1}', 'driver')],
    [
      ['driver', 'qcow2'],
      ['file', '{"driver":"file"}'],
      ['n', '1'],
    ],
  );
  assert.deepEqual([...parseKeys('{"driver":', 'driver')], []);
});

test('no text whatever makes the parsers throw', () => {
  const word = fc.oneof(
    fc.string(),
    fc.json(),
    fc.constantFrom('-device', '-S', '--', '-', '-__proto__', '{'),
  );
  fc.assert(
    fc.property(fc.array(word), (words) => {
      for (const { value } of parseArguments(words)) parseKeys(value, 'driver');
    }),
    { numRuns: 300 },
  );
});
