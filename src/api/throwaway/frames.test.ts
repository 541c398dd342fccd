import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  encodeFrame,
  encodeNow,
  encodeWish,
  FrameReader,
  GuestFault,
  windowBytes,
  type GuestPort,
} from './frames.ts';
import { RunningCommand } from './running-command.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

test('frames are whole in whatever pieces they come', () => {
  const bytes = Buffer.concat([
    encodeFrame('O', 1, Buffer.from('first')),
    encodeFrame('C', 7),
    encodeFrame('S', 0xffff_ffff, Buffer.from('code 0')),
  ]);
  for (const size of [1, 2, 9, 10, bytes.length]) {
    const reader = new FrameReader();
    const frames = [];
    for (let at = 0; at < bytes.length; at += size)
      frames.push(...reader.push(bytes.subarray(at, at + size)));
    assert.deepEqual(
      frames.map(({ kind, command, data }) => [kind, command, text(data)]),
      [
        ['O', 1, 'first'],
        ['C', 7, ''],
        ['S', 0xffff_ffff, 'code 0'],
      ],
    );
  }
});

test('the time is seconds since 1970, with random numbers behind it', () => {
  const now = encodeNow(new Date(1_700_000_000_500), Buffer.from('random'));
  assert.deepEqual([now.readDoubleBE(), text(now.subarray(8))], [1_700_000_000.5, 'random']);
});

test('a frame that says to be longer than any is refused before it has come', () => {
  const head = encodeFrame('O', 1);
  head.writeUInt32BE(0xffff_ffff, 5);
  assert.throws(() => [...new FrameReader().push(head)], GuestFault);
});

test('a wish is fields and words, none of which can become another', () => {
  const wish = encodeWish({ argv: ['sh', '-c', 'echo'], env: { A: 'b=c' }, cwd: '/w' });
  assert.equal(text(wish), 'env=A=b=c\0cwd=/w\0\0sh\0-c\0echo');
  for (const argv of [[], ['a\0b'], ['x'.repeat(70_000)]])
    assert.throws(() => encodeWish({ argv }), RangeError);
  assert.throws(() => encodeWish({ argv: ['a'], env: { A: 'b\0\0evil' } }), RangeError);
});

function command(): { readonly running: RunningCommand; readonly sent: string[] } {
  const sent: string[] = [];
  const write = (bytes: Buffer): void => void sent.push(text(bytes.subarray(9)));
  const port: GuestPort = { write, isFull: false, drained: () => Promise.resolve() };
  return { sent, running: new RunningCommand(3, port) };
}
const frame = (kind: string, data: string | Buffer) => ({ kind, command: 3, data: Buffer.from(data) });

test('a guest that sends more than was taken, or what is no frame of a runner, is a fault', () => {
  const flood = command().running;
  const part = Buffer.alloc(windowBytes / 4);
  for (let times = 0; times < 4; times += 1) flood.obey(frame('O', part));
  assert.throws(() => flood.obey(frame('O', 'x')), GuestFault);
  for (const wrong of [
    frame('S', 'code'),
    frame('S', 'code -1'),
    frame('S', 'exit 1'),
    frame('A', '1e9'),
    frame('A', ''),
    frame('X', ''),
    frame('?', ''),
    frame('O', ''),
    frame('E', ''),
  ])
    assert.throws(() => command().running.obey(wrong), GuestFault, `${wrong.kind}${text(wrong.data)}`);
});

test('an end is a status or a signal, within their ranges', async () => {
  for (const [data, exit] of [
    ['code 7', { code: 7, signal: null }],
    ['code 999', { code: 231, signal: null }],
    ['signal 9', { code: null, signal: 9 }],
  ] as const) {
    const { running } = command();
    assert.equal(running.obey(frame('S', data)), true);
    assert.deepEqual(await running.exit, exit);
  }
  const { running } = command();
  running.obey(frame('F', 'no\u001b[31m such\nprogram'));
  await assert.rejects(running.exit, { message: 'it could not be run: no [31m such program' });
});

test('input waits where it is not taken, and no taking makes room for more than a window', async () => {
  const { running, sent } = command();
  const bytes = (): number => sent.reduce((sum, one) => sum + one.length, 0);
  const written = running.write(new Uint8Array(3 * windowBytes));
  await Promise.resolve();
  assert.equal(bytes(), windowBytes);
  running.obey(frame('A', '999999999'));
  await new Promise(setImmediate);
  assert.equal(bytes(), 2 * windowBytes);
  running.obey(frame('A', String(windowBytes)));
  await written;
  assert.equal(bytes(), 3 * windowBytes);
});
