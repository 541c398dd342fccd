import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { encodeFrame, FrameReader, maxRequestBytes } from '../../src/protocol/frame.ts';
import { createBrokerClient, defaultDeadlinesMs } from '../../src/manager/broker-client.ts';

function socketPath(context: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'qward-broker-client-'));
  context.after(() => {
    rmSync(directory, { recursive: true });
  });
  return join(directory, 's');
}

async function broker(
  context: TestContext,
  path: string,
  answer: (socket: Socket, request: unknown) => void,
): Promise<Server> {
  const server = createServer((socket) => {
    const reader = new FrameReader(maxRequestBytes);
    socket.on('error', () => undefined);
    socket.on('data', (piece: Buffer) => {
      const body = reader.push(piece);
      if (body !== undefined) answer(socket, JSON.parse(body.toString()));
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  context.after(() => server.close());
  return server;
}

const client = (path: string, connectForMs = 0, deadlineMs = 1000) =>
  createBrokerClient({
    socketPath: path,
    connectForMs,
    deadlineMs: { ...defaultDeadlinesMs, kill: deadlineMs },
  });

test('a request carries version, call and fields, and the result comes back', async (context) => {
  const path = socketPath(context);
  await broker(context, path, (socket, request) =>
    socket.end(encodeFrame({ ok: true, result: { seen: request } })),
  );
  assert.deepEqual(await client(path).call('kill', { machine: 'web' }), {
    ok: true,
    value: { seen: { v: 1, call: 'kill', machine: 'web' } },
  });
});

test('refusals arrive as faults', async (context) => {
  const path = socketPath(context);
  const refusal = { code: 'policy-refused', message: 'no', hint: 'ask' };
  await broker(context, path, (socket) => socket.end(encodeFrame({ ok: false, refusals: [refusal] })));
  assert.deepEqual(await client(path).call('kill', { machine: 'web' }), { ok: false, faults: [refusal] });
});

for (const [what, answer] of [
  ['closes without an answer', (socket: Socket) => socket.destroy()],
  ['closes in the middle of the answer', (socket: Socket) => socket.end(encodeFrame('abc').subarray(0, 6))],
  ['announces too much', (socket: Socket) => socket.end(Buffer.from([255, 255, 255, 255]))],
  ['answers what is not JSON', (socket: Socket) => socket.end(Buffer.from([0, 0, 0, 1, 0x7b]))],
] as const)
  test(`a broker that ${what} is broker-unreachable`, async (context) => {
    const path = socketPath(context);
    await broker(context, path, answer);
    const outcome = await client(path).call('kill', { machine: 'web' });
    assert.equal(!outcome.ok && outcome.faults[0]?.code, 'broker-unreachable');
  });

test('a broker that is silent is timed out', async (context) => {
  const path = socketPath(context);
  await broker(context, path, () => undefined);
  const outcome = await client(path, 0, 20).call('kill', { machine: 'web' });
  assert.equal(!outcome.ok && outcome.faults[0]?.code, 'timed-out');
});

test('a broker that is only just starting is waited for', async (context) => {
  const path = socketPath(context);
  const pending = client(path, 5000).call('kill', { machine: 'web' });
  await broker(context, path, (socket) => socket.end(encodeFrame({ ok: true, result: null })));
  assert.deepEqual(await pending, { ok: true, value: null });
});

test('where nobody listens the fault names the socket', async (context) => {
  const path = socketPath(context);
  const outcome = await client(path).call('status', {});
  assert.ok(!outcome.ok);
  assert.equal(outcome.faults[0]?.code, 'broker-unreachable');
  assert.ok(outcome.faults[0].message.includes(path));
});
