import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMetadata } from './metadata.ts';

const good = { version: 1, owner: 1000, definedAt: '2026-01-01T00:00:00.000Z' };

test('what was written is read', () => {
  assert.deepEqual(parseMetadata(JSON.stringify(good)), { ok: true, metadata: good });
});

test('cut, foreign and newer files are refused with the reason', () => {
  for (const [text, reason] of [
    ['', /not JSON/],
    ['{"version":1,"own', /not JSON/],
    ['null', /not an object/],
    [JSON.stringify({ ...good, version: 2 }), /version is 2/],
    [JSON.stringify({ ...good, owner: -1 }), /no owner/],
    [JSON.stringify({ ...good, owner: '0' }), /no owner/],
    [JSON.stringify({ ...good, definedAt: 'yesterday' }), /no time/],
  ] as const) {
    const parsed = parseMetadata(text);
    assert.ok(!parsed.ok, text);
    assert.match(parsed.reason, reason);
  }
});
