import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { success } from '../outcome.ts';
import { openThrowaway } from './serve-throwaway.ts';

test('a start that throws is told, logged and in the history, and its machine is cleared away', async () => {
  const done: unknown[] = [];
  const opened = openThrowaway(
    {
      throwaways: {
        ending: new AbortController().signal,
        reserve: () => Promise.resolve(success('throwaway-a')),
        start: () => Promise.reject(new Error('broken')),
        release: (name) => Promise.resolve(void done.push(['released', name])),
      },
      history: { record: (_, { call, outcome, code }) => void done.push([call, outcome, code]) },
      log: { error: (_, fields) => void done.push(String(fields?.['error'])) },
      placed: (fault) => fault,
    },
    {
      uid: 1000,
      user: 'maker',
      pid: null,
      groups: [],
      administrator: false,
      operator: false,
      operatesAll: false,
      definer: true,
    },
  );
  assert.ok(opened.ok);
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  server.once('connection', opened.value);
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const client = new WebSocket(`ws://127.0.0.1:${address.port}`);
  const heard: string[] = [];
  client.on('message', (data: Buffer) => heard.push(data.toString()));
  client.once('open', () => client.send('{"from": "warm"}'));
  await once(client, 'close');
  server.close();
  assert.match(heard.at(-1) ?? '', /"failed".*a fault of qward itself.*"code":"internal"/);
  assert.deepEqual(done, ['Error: broken', ['run', 'failed', 'internal'], ['released', 'throwaway-a']]);
});
