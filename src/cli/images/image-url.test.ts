import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseImageUrl, redirected } from './image-url.ts';

test('a URL is of http or https, and tells no password', () => {
  assert.ok(parseImageUrl('https://example.org/a.qcow2#x') instanceof URL);
  for (const text of [
    'ftp://example.org/a',
    'file:///etc/shadow',
    'https://u:p@example.org/',
    'https://u@example.org/',
    'nonsense',
    `https://x/${'a'.repeat(3000)}`,
  ])
    assert.equal(typeof parseImageUrl(text), 'string', text);
});

test('a redirection leads neither out of encryption nor to this host', () => {
  const from = new URL('https://example.org/images/a');
  assert.equal(redirected(from, '../b')?.href, 'https://example.org/b');
  assert.equal(redirected(from, 'https://mirror.example/a')?.host, 'mirror.example');
  assert.equal(redirected(new URL('http://127.0.0.1:1/a'), 'http://127.0.0.1:2/b')?.port, '2');
  assert.equal(redirected(new URL('http://example.org/'), 'https://example.org/')?.protocol, 'https:');
  for (const place of [
    'http://example.org/a',
    'file:///etc/passwd',
    'https://u:p@example.org/',
    'gopher://x/',
    '',
    `/${'a'.repeat(5000)}`,
  ])
    assert.equal(place === '' ? undefined : redirected(from, place), undefined, place);
  for (const host of [
    '127.0.0.1',
    '127.1',
    '2130706433',
    'localhost',
    'a.localhost',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
    '0.0.0.0',
  ])
    assert.equal(redirected(from, `https://${host}/`), undefined, host);
});
