import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeCommand } from './encode-command.ts';

test('a command is as short as JSON allows', () => {
  assert.deepEqual(encodeCommand('7', 'cont'), { ok: true, text: '{"execute":"cont","id":"7"}' });
  assert.deepEqual(encodeCommand('7', 'cont', {}), { ok: true, text: '{"execute":"cont","id":"7"}' });
  assert.deepEqual(encodeCommand('8', 'balloon', { value: 1 }), {
    ok: true,
    text: '{"execute":"balloon","arguments":{"value":1},"id":"8"}',
  });
});

test('what QEMU would answer without an id is not sent', () => {
  let deep: unknown = 1;
  for (let level = 0; level < 63; level += 1) deep = [deep];
  const cases: readonly (readonly [string, Record<string, unknown>, RegExp])[] = [
    ['', {}, /a name has/],
    ['query status', {}, /a name has/],
    ['cont","x":"', {}, /a name has/],
    ['a'.repeat(129), {}, /a name has/],
    ['x', { text: 'a\u0000b' }, /NUL/],
    ['x', { text: '\ud800' }, /surrogate/],
    ['x', { list: [{ text: '\udc00\ud83d' }] }, /surrogate/],
    ['x', { '\uffff': 1 }, /noncharacter/],
    ['x', { text: '\u{1fffe}' }, /noncharacter/],
    ['x', { text: 'x'.repeat(256 * 1024) }, /bytes/],
    ['x', { deep }, /nest/],
  ];
  for (const [command, args, why] of cases) {
    const encoded = encodeCommand('1', command, args);
    assert.ok(!encoded.ok);
    assert.match(encoded.message, why);
  }
});

test('a quote, a comma, a newline and an emoji in an argument stay within it', () => {
  const text = 'a","id":"9\n,😀\\';
  const encoded = encodeCommand('1', 'human-monitor-command', { 'command-line': text });
  assert.ok(encoded.ok);
  assert.ok(!encoded.text.includes('\n'));
  assert.deepEqual(JSON.parse(encoded.text), {
    execute: 'human-monitor-command',
    arguments: { 'command-line': text },
    id: '1',
  });
});
