import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isKey, keysOfText, parseCombination } from './keys.ts';

test('a combination is keys with "-" between them, by QEMU\'s names or the usual ones', () => {
  assert.deepEqual(parseCombination('ctrl-alt-delete'), ['ctrl', 'alt', 'delete']);
  assert.deepEqual(parseCombination('Ctrl-Alt-Del'), ['ctrl', 'alt', 'delete']);
  assert.deepEqual(parseCombination('Enter'), ['ret']);
  assert.deepEqual(parseCombination('f24'), ['f24']);
  for (const wrong of ['', '-', 'ctrl-', 'f25', 'hyper-a', 'constructor', '__proto__', 'a,b', 'ctrl+c'])
    assert.equal(parseCombination(wrong), undefined, wrong);
});

test('text is typed with Shift where the layout has it there', () => {
  assert.deepEqual(keysOfText('aZ0)-_ \n|'), {
    ok: true,
    keys: [
      ['a'],
      ['shift', 'z'],
      ['0'],
      ['shift', '0'],
      ['minus'],
      ['shift', 'minus'],
      ['spc'],
      ['ret'],
      ['shift', 'backslash'],
    ],
  });
  assert.deepEqual(keysOfText('naïve'), { ok: false, character: 'ï' });
});

test('every printable character of ASCII has a way to be typed, of its own, with keys that QEMU knows', () => {
  const ways = new Set<string>();
  for (let code = 0x20; code < 0x7f; code += 1) {
    const typed = keysOfText(String.fromCodePoint(code));
    assert.ok(typed.ok, String.fromCodePoint(code));
    assert.ok(typed.keys.flat().every(isKey));
    ways.add(JSON.stringify(typed.keys));
  }
  assert.equal(ways.size, 0x7f - 0x20);
});

test('no text makes anything but keys', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const typed = keysOfText(text);
      return !typed.ok || typed.keys.flat().every(isKey);
    }),
  );
});
