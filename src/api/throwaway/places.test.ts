import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isClosed, parsePlaces } from './places.ts';

test('a place is a host and a port, and nothing that a resolver would take for something else', () => {
  assert.deepEqual(parsePlaces(['Example.ORG:443', '192.0.2.1:80', '[2001:DB8::1]:1']), [
    { host: 'example.org', port: 443 },
    { host: '192.0.2.1', port: 80 },
    { host: '2001:db8::1', port: 1 },
  ]);
  for (const word of [
    '',
    'example.org',
    ':80',
    'a:0',
    'a:65536',
    'a:080',
    'a:1 ',
    'a b:1',
    'a\n:1',
    '*.example.org:1',
    '-a:1',
    'a-:1',
    '::1:80',
    '[192.0.2.1]:80',
    '[::1%lo]:80',
    '127.1:80',
    '0x7f000001:80',
    '0x7f.0.0.1:80',
    '2130706433:80',
    '017700000001:80',
    '192.0.2.1.:80',
  ])
    assert.match(JSON.stringify(parsePlaces([word])), /expected/, word);
  assert.match(JSON.stringify(parsePlaces([])), /no HOST:PORT/);
  assert.match(
    JSON.stringify(parsePlaces(Array.from({ length: 201 }, (_, at) => `a${at}:1`))),
    /more than 200/,
  );
});

test('no name leads to this host, to its neighbours by link, to many, or to a metadata service', () => {
  const own = ['192.0.2.2', '2001:db8::2'];
  const check = (address: string): boolean =>
    isClosed({ address, family: address.includes(':') ? 6 : 4 }, own);
  for (const address of [
    '0.0.0.0',
    '0.1.2.3',
    '127.0.0.1',
    '127.255.0.1',
    '169.254.169.254',
    '100.100.100.200',
    '224.0.0.1',
    '255.255.255.255',
    '192.0.2.2',
    '::',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:169.254.169.254',
    '::ffff:7f00:1',
    'fe80::1',
    'ff02::1',
    'fd00:ec2::254',
    '2001:db8::2',
  ])
    assert.equal(check(address), true, address);
  for (const address of ['192.0.2.1', '10.0.0.1', '2001:db8::1', 'fd00::1', '::ffff:192.0.2.1'])
    assert.equal(check(address), false, address);
});
