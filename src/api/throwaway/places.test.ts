import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isClosed, parsePlaces } from './places.ts';

test('a place is a host and a port, and nothing that a resolver would take for something else', () => {
  const words = ['Example.ORG:443', '192.0.2.1:80', '[2001:DB8::1]:1', 'db.test:5432/private'];
  assert.deepEqual(parsePlaces(words), [
    { host: 'example.org', port: 443, isPrivate: false },
    { host: '192.0.2.1', port: 80, isPrivate: false },
    { host: '2001:db8::1', port: 1, isPrivate: false },
    { host: 'db.test', port: 5432, isPrivate: true },
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
    'a:1/',
    'a:1/private/private',
    'a:1/Public',
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
  for (const word of ['10.0.0.1:80/private', '[fd00::1]:80/private'])
    assert.match(JSON.stringify(parsePlaces([word])), /is for names/, word);
  assert.match(JSON.stringify(parsePlaces([])), /no HOST:PORT/);
  assert.match(
    JSON.stringify(parsePlaces(Array.from({ length: 201 }, (_, at) => `a${at}:1`))),
    /more than 200/,
  );
});

test('no name leads to this host, to its neighbours by link, to many, or to a metadata service', () => {
  const own = ['192.0.2.2', '2001:db8::2'];
  const check = (address: string, isPrivate: boolean): boolean =>
    isClosed({ address, family: address.includes(':') ? 6 : 4 }, own, { isPrivate });
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
    '::7f00:1',
    '::ffff:127.0.0.1',
    '::ffff:169.254.169.254',
    '::ffff:7f00:1',
    '::ffff:0:7f00:1',
    '64:ff9b::a9fe:a9fe',
    'fe80::1',
    'ff02::1',
    'fd00:ec2::254',
    '2001:db8::2',
  ])
    for (const isPrivate of [false, true]) assert.equal(check(address, isPrivate), true, address);
  for (const address of ['192.0.2.1', '2001:db8::1', '::ffff:192.0.2.1', '64:ff9b::192.0.2.1', '172.32.0.1'])
    assert.equal(check(address, false), false, address);
});

test('a name leads into a private network only where its user said so', () => {
  for (const address of [
    '10.0.0.1',
    '172.31.255.1',
    '192.168.0.1',
    '100.64.0.1',
    '198.18.0.1',
    'fd00::1',
    'fec0::1',
    '::ffff:10.0.0.1',
    '64:ff9b::10.0.0.1',
    '64:ff9b:1::1',
    '2002:a00:1::1',
  ]) {
    const there = { address, family: address.includes(':') ? 6 : 4 };
    assert.equal(isClosed(there, [], { isPrivate: false }), true, address);
    assert.equal(isClosed(there, [], { isPrivate: true }), false, address);
    assert.equal(isClosed(there, [address], { isPrivate: true }), true, address);
  }
});
