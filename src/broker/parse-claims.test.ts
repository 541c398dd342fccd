import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { maxClaimsOfMachine } from '../protocol/claims.ts';
import { parseClaimRequest } from './parse-claims.ts';
import { ValueFaults } from '../protocol/values.ts';

const parse = (value: unknown): unknown => parseClaimRequest(Buffer.from(JSON.stringify(value)));
const file = { path: '/home/a/disk.img', access: 'rw' };

test('well-formed requests come through unchanged', () => {
  for (const request of [
    { v: 1, call: 'claim', machine: 'web', files: [file] },
    { v: 1, call: 'claim', machine: 'web', files: [{ path: 'relative', access: 'ro' }] },
    { v: 1, call: 'claim-like', machine: 'web', like: 'web2' },
    { v: 1, call: 'unclaim', machine: 'web', paths: null },
    { v: 1, call: 'unclaim', machine: 'web', paths: ['/a'] },
    { v: 1, call: 'claims', machine: null },
    { v: 1, call: 'claims', machine: 'web' },
  ])
    assert.deepEqual(parse(request), request);
});

test('nothing says who asks, and nothing of the manager’s protocol is understood', () => {
  const claim = { v: 1, call: 'claim', machine: 'web', files: [file] };
  for (const request of [
    { ...claim, uid: 0 },
    { ...claim, user: 'alice' },
    { ...claim, files: [{ ...file, uid: 1000 }] },
    { ...claim, files: [{ ...file, claimant: 1000 }] },
    { ...claim, files: [{ ...file, access: 'rwx' }] },
    { ...claim, files: [{ ...file, path: 'a\0b' }] },
    { ...claim, files: [{ ...file, path: '' }] },
    { ...claim, files: [{ ...file, path: 'x'.repeat(5000) }] },
    { ...claim, files: Array.from({ length: maxClaimsOfMachine + 1 }, () => file) },
    { ...claim, files: file },
    { ...claim, machine: '../web' },
    { ...claim, machine: null },
    { ...claim, v: 2 },
    { v: 1, call: 'claims' },
    { v: 1, call: 'claims', machine: null, uid: 1000 },
    { v: 1, call: 'unclaim', machine: 'web' },
    { v: 1, call: 'unclaim', machine: null, paths: null },
    { v: 1, call: 'status' },
    { v: 1, call: 'kill', machine: 'web' },
    { v: 1, call: '__proto__' },
    [],
    null,
  ])
    assert.throws(() => parse(request), ValueFaults, JSON.stringify(request));
});

test('no bytes make the parser throw anything but ValueFaults', () => {
  const harmless = (body: Buffer): void => {
    try {
      parseClaimRequest(body);
    } catch (error) {
      assert.ok(error instanceof ValueFaults);
    }
  };
  fc.assert(fc.property(fc.uint8Array(), (bytes) => harmless(Buffer.from(bytes))));
  fc.assert(fc.property(fc.json(), (text) => harmless(Buffer.from(text))));
});
