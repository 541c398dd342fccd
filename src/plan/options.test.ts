import assert from 'node:assert/strict';
import { test } from 'node:test';
import { argvLines, jsonOption, keyOption, textOption, UnsafeTokenError } from './options.ts';

const structure = [',', '=', '"', "'", '\\', ' ', '\n', '\r', '\0', '\u007f', '{', '}', 'é'] as const;

test('keyOption_rejects_structure', () => {
  for (const character of structure) {
    const text = `a${character}b`;
    assert.throws(() => keyOption('-name', null, { guest: text }), UnsafeTokenError, JSON.stringify(text));
    assert.throws(() => keyOption('-cpu', text), UnsafeTokenError);
    assert.throws(() => keyOption('-cpu', 'max', { [text]: 'off' }), UnsafeTokenError);
  }
});

test('jsonOption_rejects_structure', () => {
  for (const character of structure) {
    const text = `a${character}b`;
    assert.throws(() => jsonOption('-device', { id: text }), UnsafeTokenError, JSON.stringify(text));
    assert.throws(() => jsonOption('-object', { limits: { deep: [text] } }), UnsafeTokenError);
    assert.throws(() => jsonOption('-object', { [text]: 1 }), UnsafeTokenError);
  }
});

test('textOption_rejects_structure: one argument whatever it says, without control characters', () => {
  assert.deepEqual(textOption('-append', 'a="b, c" -device x'), ['-append', 'a="b, c" -device x']);
  for (const character of ['\n', '\r', '\0', '\u001b', '\u007f'])
    assert.throws(() => textOption('-append', `a${character}b`), UnsafeTokenError);
});

test('options leave out what is unset', () => {
  assert.deepEqual(keyOption('-accel', 'tcg', { 'tb-size': 8, thread: undefined }), [
    '-accel',
    'tcg,tb-size=8',
  ]);
  assert.deepEqual(jsonOption('-device', { driver: 'x', bootindex: undefined }), [
    '-device',
    '{"driver":"x"}',
  ]);
});

test('argvLines puts an option on a line, quoted for a shell', () => {
  const argv = [
    '-S',
    '-nodefaults',
    '-append',
    "-S it's",
    '-m',
    'size=1M',
    '-device',
    '{"a":1}',
    '-kernel',
    '',
  ];
  assert.deepEqual(argvLines({ binary: '/usr/bin/qemu', argv }), [
    '/usr/bin/qemu',
    '-S',
    '-nodefaults',
    "-append '-S it'\\''s'",
    '-m size=1M',
    `-device '{"a":1}'`,
    "-kernel ''",
  ]);
});
