import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseImageHeader } from './image-header.ts';
import { writeQcow2 } from './qcow2-image.ts';

test('what is written is recognised, with the size of the content in whole sectors', () => {
  for (const [length, size] of [
    [540_672, 540_672],
    [1, 512],
    [513, 1024],
    [65_536, 65_536],
  ] as const) {
    const image = Buffer.from(writeQcow2(new Uint8Array(length).fill(0xff)));
    assert.deepEqual(parseImageHeader(image.subarray(0, 1024), image.length), {
      format: 'qcow2',
      virtualSize: size,
      references: [],
      snapshots: 0,
    });
    assert.equal(image.length % 65_536, 0);
  }
});

test('more than a gibibyte is refused before anything is allocated', () => {
  const huge = { length: 1024 ** 3 + 1 } as Uint8Array;
  assert.throws(() => writeQcow2(huge), RangeError);
});
