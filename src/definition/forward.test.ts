import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatForward, parseForward, type Forward } from './forward.ts';

const parsed = (text: string): Forward | string => {
  const outcome = parseForward(text);
  return outcome.ok ? outcome.forward : outcome.expected;
};

test('a forward is a protocol, an address of the host and two ports, of which most may be left out', () => {
  const tcp = { protocol: 'tcp', address: '127.0.0.1', port: 2222, to: 2222 } as const;
  assert.deepEqual(parsed('2222'), tcp);
  assert.deepEqual(parsed('127.0.0.1:2222 -> 22'), { ...tcp, to: 22 });
  assert.deepEqual(parsed('tcp 2222->22'), { ...tcp, to: 22 });
  assert.deepEqual(parsed('udp 5353'), { protocol: 'udp', address: '127.0.0.1', port: 5353, to: 5353 });
  assert.deepEqual(parsed('udp [::1]:5353 -> 53'), { protocol: 'udp', address: '::1', port: 5353, to: 53 });
  assert.deepEqual(parsed('0.0.0.0:8080 -> 80'), { ...tcp, address: '0.0.0.0', port: 8080, to: 80 });
});

test('anything else is refused, with what is expected', () => {
  for (const text of [
    '',
    ' 22',
    '22 ',
    '-> 22',
    '22 ->',
    'sctp 22',
    'TCP 22',
    '022',
    '22:22',
    '22-80',
    '22,23',
    '127.0.0.1',
    '127.0.0.1/22',
    '22 -> 80 -> 90',
    '2222 -> 22\n',
    '\u0000',
    ':22',
    '%eth0:22',
    '22 -> -1',
    '1e3',
  ])
    assert.match(JSON.stringify(parsed(text)), /^"(?:an? |ports )/, JSON.stringify(text));
  for (const text of ['0', '65536', '22 -> 0', '22 -> 65536', '99999999999999999999'])
    assert.match(JSON.stringify(parsed(text)), /^"ports from 1 to 65535/, text);
  for (const text of [
    '::1:22',
    '[127.0.0.1]:22',
    'localhost:22',
    '256.0.0.1:22',
    '[::1%lo]:22',
    '[]:22',
    '1.2.3:22',
    '127.0.0.01:22',
  ])
    assert.match(JSON.stringify(parsed(text)), /^"(?:an IPv4 address, or an IPv6|a forward)/, text);
});

test('what is written in full means the same again', () => {
  const port = fc.integer({ min: 1, max: 65_535 });
  const forward = fc.record({
    protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    address: fc.oneof(fc.ipV4(), fc.constantFrom('::', '::1', 'fd00::10', '2001:db8::1')),
    port,
    to: port,
  });
  fc.assert(fc.property(forward, (one) => assert.deepEqual(parsed(formatForward(one)), { ...one })));
});
