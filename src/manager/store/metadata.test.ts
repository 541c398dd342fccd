import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMetadata } from './metadata.ts';

const grants = [
  { kind: 'user', id: 1001, name: 'vera', rights: ['see'] },
  { kind: 'group', id: 900, name: 'team', rights: ['operate', 'console'] },
];
const good = { version: 2, owner: 1000, definedAt: '2026-01-01T00:00:00.000Z', grants };

test('what was written is read', () => {
  assert.deepEqual(parseMetadata(JSON.stringify(good)), { ok: true, metadata: good });
});

test('version 1 is read as one without grants', () => {
  const { grants: _none, ...first } = { ...good, version: 1 };
  assert.deepEqual(parseMetadata(JSON.stringify(first)), { ok: true, metadata: { ...good, grants: [] } });
});

test('cut, foreign and newer files are refused with the reason', () => {
  for (const [text, reason] of [
    ['', /not JSON/],
    ['{"version":1,"own', /not JSON/],
    ['null', /not an object/],
    [JSON.stringify({ ...good, version: '2' }), /no version/],
    [JSON.stringify({ ...good, version: 0 }), /no version/],
    [JSON.stringify({ ...good, version: 3 }), /of version 3, .* knows versions 1 to 2: a newer one wrote it/],
    [JSON.stringify({ ...good, owner: -1 }), /no owner/],
    [JSON.stringify({ ...good, owner: '0' }), /no owner/],
    [JSON.stringify({ ...good, definedAt: 'yesterday' }), /no time/],
    [JSON.stringify({ ...good, grants: undefined }), /grants/],
  ] as const) {
    const parsed = parseMetadata(text);
    assert.ok(!parsed.ok, text);
    assert.match(parsed.reason, reason);
  }
});

test('a grant that is not whole, or of a right that cannot be granted, makes the file unusable', () => {
  const [user] = grants;
  for (const wrong of [
    null,
    { ...user, kind: 'everybody' },
    { ...user, id: '1001' },
    { ...user, rights: [] },
    { ...user, rights: ['define'] },
    { ...user, rights: ['see', 'grant'] },
    { ...user, rights: ['see', 'see'] },
  ])
    assert.equal(
      parseMetadata(JSON.stringify({ ...good, grants: [wrong] })).ok,
      false,
      JSON.stringify(wrong),
    );
});
