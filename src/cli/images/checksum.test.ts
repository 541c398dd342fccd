import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findChecksum, parseChecksum } from './checksum.ts';

const one = 'a'.repeat(64);
const other = 'b'.repeat(64);

test('lists of GNU and BSD programs, signed texts and bare checksums are read', () => {
  const hexOf = (list: string): string | undefined => findChecksum(list, 'sha256', 'x.qcow2')?.hex;
  assert.equal(hexOf(`${other}  y.qcow2\n${one}  x.qcow2\n`), one);
  assert.equal(hexOf(`${one.toUpperCase()} *./x.qcow2\r\n`), one);
  assert.equal(
    hexOf(
      `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# x.qcow2: 1 bytes\nSHA256 (x.qcow2) = ${one}\n`,
    ),
    one,
  );
  assert.equal(hexOf(`${one}\n`), one);
});

test('a list that names another file, another algorithm or two checksums gives none', () => {
  for (const list of [
    '',
    `${one}  x.qcow2.bak\n`,
    `${one}  dir/x.qcow2\n`,
    `SHA512 (x.qcow2) = ${one}\n`,
    `${one}  x.qcow2\n${other}  x.qcow2\n`,
    `${one.slice(1)}  x.qcow2\n`,
    `<html>${one}</html>`,
  ])
    assert.equal(findChecksum(list, 'sha256', 'x.qcow2'), undefined, list);
});

test('a checksum that is typed has the digits of its algorithm', () => {
  assert.deepEqual(parseChecksum('sha256', 'A'.repeat(64)), { algorithm: 'sha256', hex: one });
  for (const text of ['', one.slice(1), `${one}0`, `${one.slice(1)}g`, `${one}\n`])
    assert.match(JSON.stringify(parseChecksum('sha256', text)), /64 hexadecimal digits expected/);
});
