import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { greetingLine, readGreeting } from './greeting.ts';
import { Mux, type Channel } from './mux.ts';

function pair(onOpen: (name: string, channel: Channel) => void) {
  const [there, back] = [new PassThrough(), new PassThrough()];
  const ends: (Error | undefined)[] = [];
  const client = new Mux({ input: back, output: there, onEnd: (error) => ends.push(error) });
  const server = new Mux({ input: there, output: back, onOpen, onEnd: () => undefined });
  return { client, server, there, back, ends };
}

const echo = (_: string, channel: Channel): void => {
  channel.accept();
  channel.pipe(channel);
};

async function all(channel: Channel): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of channel as AsyncIterable<Buffer>) pieces.push(piece);
  return Buffer.concat(pieces);
}

test('channels carry their bytes side by side, however many and however long', async () => {
  const { client } = pair(echo);
  const sent = Array.from({ length: 20 }, (_, index) => Buffer.alloc(300_000 + index, index));
  const got = await Promise.all(
    sent.map((bytes) => {
      const channel = client.open('api');
      channel.end(bytes);
      return all(channel);
    }),
  );
  for (const [index, bytes] of got.entries()) assert.ok(bytes.equals(sent[index] ?? Buffer.alloc(0)));
});

test('a channel that nobody reads stops at its window, and holds up no other', async () => {
  let first: Channel | undefined;
  const { client } = pair((name, channel) => {
    if (name === 'stalls') first = channel;
    else echo(name, channel);
  });
  const stalls = client.open('stalls');
  for (let times = 0; times < 100; times += 1) stalls.write(Buffer.alloc(100_000));
  const other = client.open('api');
  other.end('through');
  assert.equal((await all(other)).toString(), 'through');
  assert.ok((first?.readableLength ?? 0) <= 256 * 1024 + 64 * 1024, String(first?.readableLength));
  assert.ok(stalls.writableLength > 9_000_000);
});

test('a refusal arrives with its code, before "connect"', async () => {
  const { client } = pair((_, channel) => {
    channel.on('error', () => undefined);
    channel.destroy(Object.assign(new Error('no such socket'), { code: 'ENOENT' }));
  });
  const channel = client.open('api');
  channel.once('connect', () => assert.fail('connected'));
  const [error] = (await once(channel, 'error')) as [NodeJS.ErrnoException];
  assert.deepEqual([error.code, error.message], ['ENOENT', 'no such socket']);
});

test('when the other side goes every channel ends with the reason', async () => {
  const { client, back, ends } = pair((_, channel) => void setImmediate(() => channel.accept()));
  const channel = client.open('api');
  await once(channel, 'connect');
  const failed = once(channel, 'error');
  back.end();
  await failed;
  assert.deepEqual(ends, [undefined]);
});

test('what does not keep to the protocol ends it: sizes, kinds, channels, credit', async () => {
  const frame = (kind: number, id: number, payload: Buffer, length = payload.length): Buffer => {
    const head = Buffer.alloc(9);
    head.writeUInt8(kind, 0);
    head.writeUInt32BE(id, 1);
    head.writeUInt32BE(length, 5);
    return Buffer.concat([head, payload]);
  };
  const credit = Buffer.from([0xff, 0xff, 0xff, 0xff]);
  const piece = Buffer.alloc(32 * 1024);
  const attacks = [
    frame(3, 1, Buffer.alloc(0), 0xffff_ffff),
    frame(1, 7, Buffer.from('api')),
    frame(99, 1, Buffer.alloc(0)),
    frame(6, 1, credit),
    frame(6, 1, Buffer.alloc(3)),
    Buffer.concat(Array.from({ length: 9 }, () => frame(3, 1, piece))),
  ];
  for (const attack of attacks) {
    const input = new PassThrough();
    const ended = Promise.withResolvers<Error | undefined>();
    const client = new Mux({ input, output: new PassThrough(), onEnd: ended.resolve });
    client.open('api').on('error', () => undefined);
    input.write(attack);
    assert.ok((await ended.promise) instanceof Error);
  }
});

test('more channels than there may be end the connection of who asked for them', async () => {
  const ended = Promise.withResolvers<Error | undefined>();
  const input = new PassThrough();
  const server = new Mux({
    input,
    output: new PassThrough(),
    onOpen: (_, channel) => void channel.on('error', () => undefined),
    onEnd: ended.resolve,
  });
  assert.ok(server);
  for (let id = 1; id < 600; id += 1) {
    const head = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0, 0]);
    head.writeUInt32BE(id, 1);
    input.write(head);
  }
  assert.match(String(await ended.promise), /cannot be/);
});

test('the greeting is read from pieces; anything before it is told', () => {
  const line = Buffer.from(`${greetingLine({ uid: 7, files: true })}rest`);
  assert.deepEqual(readGreeting(line.subarray(0, 10)), { kind: 'more' });
  const read = readGreeting(line);
  assert.ok(read.kind === 'greeting');
  assert.deepEqual([read.greeting, read.rest.toString()], [{ uid: 7, files: true }, 'rest']);
  for (const text of [
    'Welcome to db1!\n',
    'qward-dial 1 {"uid"}x\n',
    'x'.repeat(5000),
    'qward-dial 2 {}\n',
    'qward-dial 1 {nonsense}\n',
  ])
    assert.equal(readGreeting(Buffer.from(text)).kind, 'wrong', text.slice(0, 30));
});
