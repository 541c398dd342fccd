import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stableMacAddress } from './mac-address.ts';

test('an address is locally administered, unicast, and always the same', () => {
  const address = stableMacAddress('web', 'lan');
  assert.equal(address, '52:5c:f3:ea:fe:5e');
  assert.match(address, /^52(:[0-9a-f]{2}){5}$/);
  assert.equal(0x52 & 0b11, 0b10);
});

test('names that run together give different addresses', () => {
  const addresses = [
    stableMacAddress('web', 'lan'),
    stableMacAddress('web', 'lan2'),
    stableMacAddress('webl', 'an'),
    stableMacAddress('lan', 'web'),
  ];
  assert.equal(new Set(addresses).size, addresses.length);
});
