import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeFrame, FrameReader } from './frame.ts';

const read = (reader: FrameReader, bytes: Buffer, cuts: readonly number[]): unknown => {
  let rest = bytes;
  for (const cut of cuts) {
    const piece = rest.subarray(0, cut);
    rest = rest.subarray(cut);
    const body = reader.push(piece);
    if (body !== undefined) return JSON.parse(body.toString());
  }
  const body = reader.push(rest);
  return body === undefined ? undefined : JSON.parse(body.toString());
};

test('a frame split anywhere gives the message', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.array(fc.nat(9), { maxLength: 12 }), (message, cuts) => {
      const frame = encodeFrame(message);
      const found = read(new FrameReader(1 << 20), frame, cuts);
      assert.deepEqual(found, JSON.parse(JSON.stringify(message)));
    }),
  );
});

test('an announced length above the limit is refused before the body comes', () => {
  const reader = new FrameReader(1000);
  assert.throws(() => reader.push(Buffer.from([0xff, 0xff, 0xff, 0xff])), /4294967295 bytes, at most 1000/);
});

test('a length that comes byte by byte is checked as soon as it is whole', () => {
  const reader = new FrameReader(1000);
  assert.equal(reader.push(Buffer.from([0])), undefined);
  assert.equal(reader.push(Buffer.from([0x10])), undefined);
  assert.equal(reader.push(Buffer.from([0])), undefined);
  assert.throws(() => reader.push(Buffer.from([1])), /at most 1000/);
});

test('bytes after the frame are refused', () => {
  const reader = new FrameReader(1000);
  assert.throws(() => reader.push(Buffer.concat([encodeFrame({}), Buffer.from('x')])), /after the end/);
});
