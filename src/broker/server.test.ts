import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { encodeFrame } from '../protocol/frame.ts';
import { createBrokerServer } from './server.ts';

const directory = mkdtempSync(join(tmpdir(), 'qward-server-'));
after(() => rmSync(directory, { recursive: true }));

/** Connects, says so, asks two seconds later, and tells what came back. */
const asker = `const { parentPort, workerData } = require('node:worker_threads');
const socket = require('node:net').connect(workerData.path, () => parentPort.postMessage('connected'));
const told = [];
socket.on('data', (piece) => told.push(piece));
socket.on('error', (error) => told.push(Buffer.from(error.code)));
socket.on('close', () => parentPort.postMessage(Buffer.concat(told).toString()));
setTimeout(() => socket.write(workerData.request), 2000);`;

test('a request that came in time is answered, also where the broker had no CPU until it was late', async () => {
  const path = join(directory, 'socket');
  const ended: unknown[] = [];
  const server = createBrokerServer({
    admits: () => true,
    limits: { ofUser: 8, ofAll: 8 },
    log: (entry) => ended.push(entry),
    onActivity: () => undefined,
    answer: () => Promise.resolve({ ok: true, result: 'done' }),
  });
  after(() => server.close());
  await once(server.listen(path), 'listening');
  const worker = new Worker(asker, {
    eval: true,
    workerData: { path, request: encodeFrame({}) },
  });
  await once(worker, 'message');
  // Its connection is taken before this turn ends, and its request comes while nothing is read.
  await new Promise((resolve) => setTimeout(resolve, 100));
  // As in an answer: the loop looks at its timers before it reads again.
  await new Promise<void>((resolve) =>
    setImmediate(() => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 6000);
      resolve();
    }),
  );
  const [told] = (await once(worker, 'message')) as [string];
  assert.match(told, /"done"/);
  assert.deepEqual(ended, []);
});
