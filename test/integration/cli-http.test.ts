/** The client's connections: kept, bounded in time, given up. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { QwardClient } from '../../src/api/client.ts';
import { HttpClient, TransportError } from '../../src/api/http.ts';

interface RawServer extends AsyncDisposable {
  readonly socketPath: string;
  readonly connections: Socket[];
}

/** A server that does with the text of a request what the test says. */
async function rawServer(
  answer: (socket: Socket, request: string, count: number) => void,
): Promise<RawServer> {
  const directory = mkdtempSync(join(tmpdir(), 'qward-http-'));
  const connections: Socket[] = [];
  let count = 0;
  const server = createServer((socket) => {
    connections.push(socket);
    socket.on('error', () => {});
    socket.on('data', (data) => answer(socket, data.toString(), (count += 1)));
  });
  const socketPath = join(directory, 'http.sock');
  server.listen(socketPath);
  await once(server, 'listening');
  return {
    socketPath,
    connections,
    async [Symbol.asyncDispose]() {
      for (const socket of connections) socket.destroy();
      server.close();
      await once(server, 'close');
      rmSync(directory, { recursive: true });
    },
  };
}

const reply = (body: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const get = { method: 'GET', path: '/v1/info', timeoutMs: 5000 } as const;
const post = { method: 'POST', path: '/v1/machines/a/start', timeoutMs: 5000 } as const;
const hasCode =
  (code: TransportError['code']) =>
  (error: unknown): boolean =>
    error instanceof TransportError && error.code === code;

test('one request after another goes over one connection, two at once over two', async () => {
  await using server = await rawServer((socket, request) => socket.write(reply(request.split(' ')[1] ?? '')));
  const client = new HttpClient(() => connect(server.socketPath));
  assert.equal((await client.request(get)).body.toString(), '/v1/info');
  await client.request(post);
  assert.equal(server.connections.length, 1);
  await Promise.all([client.request(get), client.request(get)]);
  assert.equal(server.connections.length, 2);
  client.close();
});

test('a kept connection that was closed is opened again for what only reads', async () => {
  await using server = await rawServer((socket, _, count) =>
    count === 2 ? socket.destroy() : socket.write(reply('x')),
  );
  const client = new HttpClient(() => connect(server.socketPath));
  await client.request(get);
  assert.equal((await client.request(get)).body.toString(), 'x');
  client.close();
});

test('what changes something is not sent twice', async () => {
  let requests = 0;
  await using server = await rawServer((socket, _, count) => {
    requests = count;
    if (count === 1) socket.write(reply('x'));
    else socket.destroy();
  });
  const client = new HttpClient(() => connect(server.socketPath));
  await client.request(post);
  await assert.rejects(client.request(post), hasCode('broken'));
  assert.equal(requests, 2);
});

test('a silent server ends with the deadline, and its connection is not used again', async () => {
  await using server = await rawServer((socket, _, count) => void (count > 1 && socket.write(reply('x'))));
  const client = new HttpClient(() => connect(server.socketPath));
  await assert.rejects(client.request({ ...get, timeoutMs: 30 }), hasCode('timed-out'));
  await client.request(get);
  assert.equal(server.connections.length, 2);
  client.close();
});

test('a request is given up by its signal', async () => {
  await using server = await rawServer(() => {});
  const client = new HttpClient(() => connect(server.socketPath));
  const controller = new AbortController();
  const request = client.request({ ...get, signal: controller.signal });
  controller.abort();
  await assert.rejects(request, hasCode('aborted'));
  await assert.rejects(client.request({ ...get, signal: AbortSignal.abort() }), hasCode('aborted'));
});

test('what is not HTTP, and what is not the JSON of the API, is a broken transport', async () => {
  for (const text of ['SSH-2.0\r\n\r\n', reply('<html>'), 'HTTP/1.1 502 No\r\nContent-Length: 2\r\n\r\n{}']) {
    await using server = await rawServer((socket) => void socket.write(text));
    using client = new QwardClient({ socketPath: server.socketPath });
    await assert.rejects(client.call('list'), hasCode('broken'), text);
  }
});

test('no server is unreachable', async () => {
  using client = new QwardClient({ socketPath: '/nonexistent/api.sock' });
  await assert.rejects(client.call('list'), hasCode('unreachable'));
  await assert.rejects(client.events(), hasCode('unreachable'));
});
