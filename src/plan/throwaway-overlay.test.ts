import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseImageHeader } from './image-header.ts';
import { overlayQcow2 } from './qcow2-image.ts';

test('an overlay has the size of its image and names it, and nothing else', () => {
  for (const format of ['raw', 'qcow2'] as const) {
    const bytes = Buffer.from(overlayQcow2(3 * 1024 ** 4 + 100, { path: '/images/base', format }));
    assert.deepEqual(parseImageHeader(bytes, bytes.length), {
      format: 'qcow2',
      virtualSize: 3 * 1024 ** 4 + 512,
      references: [{ kind: 'backing file', name: '/images/base' }],
      snapshots: 0,
    });
  }
});

test('what the format has no room for is refused', () => {
  assert.throws(() => overlayQcow2(5 * 1024 ** 4, { path: '/a', format: 'raw' }), RangeError);
  assert.throws(() => overlayQcow2(512, { path: `/${'é'.repeat(512)}`, format: 'raw' }), RangeError);
});
