import assert from 'node:assert/strict';
import { test } from 'node:test';
import { knowsPassword, makePassword, responseTo } from './vnc-password.ts';

test('the response is DES with the mirrored password', () => {
  // FIPS 81's example has the key 0123456789abcdef; a password whose bytes are its mirror image gives that key.
  const password = Buffer.from('80c4a2e691d5b3f7', 'hex').toString('latin1');
  const response = responseTo(Buffer.from('Now is the time '), password);
  assert.equal(response.toString('hex').slice(0, 16), '3fa40e8a984d4815');
});

test('a password is known or not, and shorter ones are not taken for it', () => {
  const challenge = Buffer.from('0123456789abcdef');
  const password = makePassword();
  assert.match(password, /^[A-Za-z2-9]{8}$/);
  assert.notEqual(password, makePassword());
  assert.ok(knowsPassword(responseTo(challenge, password), challenge, password));
  assert.ok(!knowsPassword(responseTo(challenge, password.slice(0, 7)), challenge, password));
  assert.ok(!knowsPassword(responseTo(challenge, ''), challenge, password));
  assert.ok(!knowsPassword(new Uint8Array(0), challenge, password));
});
