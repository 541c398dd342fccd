/** For rule guest: a guest of a throwaway machine fills no memory of whoever asked for it. A WebSocket server says what such a guest may say. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocketServer, type WebSocket } from 'ws';
import {
  encodeFrame,
  firstCarried,
  FrameReader,
  windowBytes,
  type Frame,
} from '../../src/api/throwaway/frames.ts';
import { parsePlaces } from '../../src/api/throwaway/places.ts';
import { ThrowawayMachine } from '../../src/api/throwaway/throwaway-machine.ts';
import { openMessageStream } from '../../src/api/web-socket.ts';
import { until } from '../support/until.ts';

const directory = mkdtempSync(join(tmpdir(), 'qward-caller-'));
after(() => rmSync(directory, { recursive: true }));
/** What the kernel keeps of connections on loopback, and what may wait. */
const enough = 24 * 1024 ** 2;

interface Stage extends AsyncDisposable {
  readonly machine: ThrowawayMachine;
  readonly guest: WebSocket;
  readonly heard: Frame[];
}

async function stage(name: string, places: readonly string[]): Promise<Stage> {
  const path = join(directory, name);
  const http = new WebSocketServer({ noServer: true });
  const server = createHttpServer();
  server.on('upgrade', (request, socket, head) =>
    http.handleUpgrade(request, socket, head, (opened) => http.emit('connection', opened)),
  );
  server.listen(path);
  const [stream, [guest]] = await Promise.all([
    openMessageStream(() => connect(path), '/'),
    once(http, 'connection') as Promise<[WebSocket]>,
  ]);
  assert.ok(!('status' in stream));
  const machine = new ThrowawayMachine(name, stream, stream);
  const reader = new FrameReader();
  const heard: Frame[] = [];
  guest.on('message', (bytes: Buffer) => {
    heard.push(...[...reader.push(bytes)].map((frame) => ({ ...frame, data: Buffer.from(frame.data) })));
  });
  if (places.length > 0) {
    guest.send(encodeFrame('N', 0));
    const parsed = parsePlaces(places);
    assert.ok(typeof parsed === 'object');
    await machine.open(parsed);
  }
  return {
    machine,
    guest,
    heard,
    [Symbol.asyncDispose]: async () => {
      guest.terminate();
      server.close();
      await machine.ended;
    },
  };
}

async function place(serve: (socket: Socket) => void): Promise<AsyncDisposable & { readonly word: string }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    serve(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    word: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

const begin = (number: number, index = 0): Buffer => encodeFrame('B', number, Buffer.from(String(index)));

test('a guest that says that it takes, and takes nothing, makes the place wait that sends without end', async () => {
  let sent = 0;
  await using endless = await place((socket) => {
    const piece = Buffer.alloc(65_536);
    const more = (): void => {
      if (socket.destroyed || sent > 8 * enough) return;
      socket.write(piece, () => {
        sent += piece.length;
        more();
      });
    };
    more();
  });
  await using there = await stage('place', [endless.word]);
  there.guest.pause();
  there.guest.send(begin(firstCarried));
  await until(() => sent > 0, 'the place sends');
  for (let round = 0; round < 150; round += 1) {
    there.guest.send(encodeFrame('A', firstCarried, Buffer.from(String(windowBytes))));
    await delay(5);
  }
  assert.ok(sent < enough, `${sent} bytes of the place were taken for a guest that takes none`);
  // It goes on as soon as the guest takes.
  there.guest.resume();
  const before = sent;
  await until(() => {
    there.guest.send(encodeFrame('A', firstCarried, Buffer.from(String(windowBytes))));
    return sent > before + enough;
  }, 'the place goes on');
});

test('a guest that says that it takes, and takes nothing, makes the input of a command wait', async () => {
  await using there = await stage('input', []);
  there.guest.pause();
  const command = there.machine.spawn(['cat']);
  let written = 0;
  const writes = (async () => {
    for (; written < 4 * enough; written += 65_536) await command.write(Buffer.alloc(65_536));
  })();
  for (let round = 0; round < 150; round += 1) {
    for (let grants = 0; grants < 16; grants += 1)
      there.guest.send(encodeFrame('A', 1, Buffer.from(String(windowBytes))));
    await delay(5);
  }
  assert.ok(written < enough, `${written} bytes wait for a guest that takes none`);
  there.guest.terminate();
  await writes;
});

test('single bytes for a place are written together, and answered together', async () => {
  const got: Buffer[] = [];
  await using sink = await place((socket) => socket.on('data', (piece) => got.push(Buffer.from(piece))));
  await using there = await stage('bytes', [sink.word]);
  const bytes = Buffer.from(Array.from({ length: 50_000 }, (_, at) => at % 251));
  const frames = Array.from(bytes, (byte) => encodeFrame('O', firstCarried, Buffer.of(byte)));
  there.guest.send(Buffer.concat([begin(firstCarried), ...frames, encodeFrame('C', firstCarried)]));
  await until(() => Buffer.concat(got).length >= bytes.length, 'the place has them');
  assert.deepEqual(Buffer.concat(got), bytes);
  const answers = (): readonly Frame[] => there.heard.filter(({ kind }) => kind === 'A');
  const taken = (): number =>
    answers().reduce((sum, { data }) => sum + Number(data.toString('latin1').slice(1)), 0);
  await until(() => taken() === bytes.length, 'all of it is told');
  assert.ok(answers().length < 1000, `${answers().length} answers to ${bytes.length} bytes`);
});

test('parts without a byte, and parts behind the end, end the machine', async () => {
  await using sink = await place((socket) => socket.resume());
  const attacks: readonly (readonly Buffer[])[] = [
    [begin(firstCarried), encodeFrame('O', firstCarried)],
    [begin(firstCarried), encodeFrame('C', firstCarried), encodeFrame('O', firstCarried, Buffer.of(1))],
    [encodeFrame('O', 1)],
    [encodeFrame('E', 1)],
  ];
  for (const [index, frames] of attacks.entries()) {
    await using there = await stage(`empty-${index}`, [sink.word]);
    there.machine.spawn(['cat']);
    there.guest.send(Buffer.concat(frames));
    const why = await Promise.race([there.machine.ended, delay(3000, 'it goes on')]);
    assert.match(why, /without a byte/, `attack ${index}`);
  }
});

test('connections that are begun and let go leave no more names to be looked up than there may be connections', async () => {
  await using there = await stage('names', ['a.invalid:80', 'b.invalid:81']);
  const rounds = Array.from({ length: 3000 }, (_, at) =>
    Buffer.concat([begin(firstCarried + at, at % 2), encodeFrame('S', firstCarried + at)]),
  );
  let most = 0;
  const look = setInterval(() => {
    const pending = process.getActiveResourcesInfo().filter((kind) => kind === 'GetAddrInfoReqWrap').length;
    most = Math.max(most, pending);
  }, 0);
  there.guest.send(Buffer.concat(rounds));
  await until(() => most > 0, 'names are looked up');
  await delay(200);
  clearInterval(look);
  assert.ok(most <= 256, `${most} names are looked up at once`);
});
