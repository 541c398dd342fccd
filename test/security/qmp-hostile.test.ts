/** As rule QMP has it: sessions over real sockets with a peer that floods, stalls, nests, lies and hangs up. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { maxLineBytes, readBudget } from '../../src/qmp/limits.ts';
import { QmpSession } from '../../src/qmp/session.ts';
import {
  type Behaviour,
  type HostilePeer,
  HostileQmpServer,
  behaveWell,
  greeting,
} from '../support/hostile-qmp-server.ts';

const timeoutMs = 5_000;
const mebibyte = 1024 * 1024;
/** What lies in the buffers of the kernel and of Node on both sides. */
const buffersBytes = 2 * mebibyte;

async function openTo(
  t: TestContext,
  behaviour: Behaviour,
  greetingTimeoutMs = timeoutMs,
): Promise<Awaited<ReturnType<typeof QmpSession.open>>> {
  const server = await HostileQmpServer.listen(behaviour);
  const opened = await QmpSession.open(await server.connect(), { greetingTimeoutMs });
  t.after(async () => {
    if (opened.ok) await opened.session[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });
  return opened;
}

async function sessionWith(t: TestContext, behaviour: Behaviour): Promise<QmpSession> {
  const opened = await openTo(t, behaviour);
  assert.ok(opened.ok, JSON.stringify(opened));
  return opened.session;
}

/** How the session ends when QEMU answers its first command with these bytes. */
async function endAfter(t: TestContext, bytes: string | Buffer): Promise<string> {
  const session = await sessionWith(t, async (peer) => {
    await peer.begin();
    await peer.nextId();
    await peer.send(bytes);
  });
  const result = await session.execute('query-status', undefined, { timeoutMs });
  assert.equal(result.ok || result.code, 'session-ended');
  return (await session.ended).code;
}

/** Round trips on a healthy session for `durationMs`: the slowest, milliseconds. */
async function slowestAnswer(session: QmpSession, durationMs: number): Promise<number> {
  const until = performance.now() + durationMs;
  let slowest = 0;
  while (performance.now() < until) {
    const start = performance.now();
    assert.ok((await session.execute('query-status', undefined, { timeoutMs })).ok);
    slowest = Math.max(slowest, performance.now() - start);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return slowest;
}

const floods: readonly (readonly [string, Buffer])[] = [
  ['one event', Buffer.from('{"event":"BLOCK_JOB_READY"}\n'.repeat(2400))],
  [
    'a thousand different events',
    Buffer.from(Array.from({ length: 1000 }, (_, index) => `{"event":"X${index}"}\n`).join('')),
  ],
  ['events of a mebibyte', Buffer.from(`{"event":"X","data":[${'[],'.repeat(349_000)}[]]}\n`)],
  [
    'keys that need a second look',
    Buffer.from(`{"event":"X","data":["\\u00e4",${'{},'.repeat(300_000)}{}]}\n`),
  ],
];
for (const [name, bytes] of floods) {
  test(`a flood of ${name} is taken at a bounded rate, in bounded memory, and harms no other session`, async (t) => {
    const healthy = await sessionWith(t, behaveWell);
    let sent = 0;
    const flooded = await sessionWith(t, async (peer) => {
      await peer.begin();
      while (peer.open) {
        await peer.send(bytes);
        sent += bytes.length;
      }
    });
    const rssBefore = process.memoryUsage().rss;
    const start = performance.now();
    const slowestMs = await slowestAnswer(healthy, 1_000);
    const elapsedSeconds = (performance.now() - start) / 1000;
    const allowed = readBudget.bytes.burst + readBudget.bytes.perSecond * elapsedSeconds;
    assert.ok(sent < allowed + buffersBytes + bytes.length, `${sent} bytes were taken`);
    assert.ok(slowestMs < 500, `another session waited ${slowestMs} ms`);
    const grown = process.memoryUsage().rss - rssBefore;
    assert.ok(grown < 160 * mebibyte, `memory grew by ${grown} bytes`);
    assert.equal(flooded.endReason, undefined);
    await flooded[Symbol.asyncDispose]();
    let waiting = 0;
    for await (const { count } of flooded.events) waiting += count > 0 ? 1 : 0;
    assert.ok(waiting >= 1 && waiting <= 128, `${waiting} events waited`);
  });
}

test('a command is answered in the middle of a flood', async (t) => {
  const session = await sessionWith(t, async (peer) => {
    await peer.begin();
    const flooding = peer.flood(Buffer.from('{"event":"BLOCK_JOB_READY"}\n'.repeat(400)));
    await peer.reply(await peer.nextId(), 'here');
    await flooding;
  });
  assert.deepEqual(await session.execute('x', undefined, { timeoutMs }), { ok: true, value: 'here' });
});

test('bytes without a newline end the session at the limit of a line', async (t) => {
  const sent = Promise.withResolvers<number>();
  const session = await sessionWith(t, async (peer) => {
    await peer.begin();
    sent.resolve(await peer.flood(Buffer.alloc(64 * 1024, ' ')));
  });
  assert.equal((await session.ended).code, 'line-too-long');
  assert.ok((await sent.promise) < maxLineBytes + buffersBytes);
});

test('a line of a mebibyte is read, one byte more is not', async (t) => {
  const session = await sessionWith(t, async (peer) => {
    await peer.begin();
    for (const extra of [0, 1]) {
      const rest = `","id":"${await peer.nextId()}"}`;
      const head = '{"return":"';
      await peer.send(`${head}${'x'.repeat(maxLineBytes + extra - head.length - rest.length)}${rest}\n`);
    }
  });
  assert.ok((await session.execute('x', undefined, { timeoutMs })).ok);
  assert.equal((await session.execute('x', undefined, { timeoutMs })).ok, false);
  assert.equal((await session.ended).code, 'line-too-long');
});

test('silence before, in and after the greeting ends the opening', async (t) => {
  const silences: readonly Behaviour[] = [
    async () => {},
    (peer) => peer.send(greeting.slice(0, 40)),
    (peer) => peer.send(greeting),
  ];
  for (const silence of silences) {
    const opened = await openTo(t, silence, 30);
    assert.equal(opened.ok || opened.reason.code, 'greeting-timed-out');
  }
});

test('silence after a command and in the middle of its answer is a timeout of that command alone', async (t) => {
  const session = await sessionWith(t, async (peer) => {
    await peer.begin();
    await peer.nextId();
    await peer.reply(await peer.nextId(), 'quick');
    await peer.send('{"return":');
    await peer.nextId();
    await peer.send('{},"id":"2"}\n');
    await peer.reply('4', 'after');
  });
  const slow = session.execute('slow', undefined, { timeoutMs: 40 });
  const quick = session.execute('quick', undefined, { timeoutMs });
  assert.deepEqual(await quick, { ok: true, value: 'quick' });
  const result = await slow;
  assert.equal(result.ok || result.code, 'timed-out');
  assert.deepEqual(await session.execute('after', undefined, { timeoutMs }), { ok: true, value: 'after' });
});

test('nesting of 65 and of 100,000 levels ends the session before it is parsed', async (t) => {
  const nested = (depth: number): string =>
    `{"return":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)},"id":"2"}\n`;
  assert.equal(await endAfter(t, nested(65)), 'nested-too-deep');
  assert.equal(await endAfter(t, nested(100_000)), 'nested-too-deep');
  assert.equal(await endAfter(t, `${'{"a":'.repeat(100_000)}\n`), 'nested-too-deep');
});

test('answers to nobody, to others, twice, both ways and without id end the session', async (t) => {
  assert.equal(await endAfter(t, '{"return":{},"id":"3"}\n'), 'wrong-id');
  assert.equal(await endAfter(t, '{"return":{},"id":"1"}\n'), 'wrong-id');
  assert.equal(await endAfter(t, '{"return":{}}\n'), 'wrong-id');
  assert.equal(await endAfter(t, '{"return":{},"id":2}\n'), 'wrong-id');
  assert.equal(await endAfter(t, '{"return":{},"error":{"class":"A","desc":"b"},"id":"2"}\n'), 'not-qmp');
  const twice = await sessionWith(t, async (peer) => {
    await peer.begin();
    const id = await peer.nextId();
    await peer.reply(id, 'first');
    await peer.reply(id, 'second');
  });
  assert.deepEqual(await twice.execute('x', undefined, { timeoutMs }), { ok: true, value: 'first' });
  assert.equal((await twice.ended).code, 'wrong-id');
});

test('NUL, invalid UTF-8, a byte order mark and other languages end the session', async (t) => {
  assert.equal(await endAfter(t, '\0'.repeat(100) + '\n'), 'not-json');
  assert.equal(await endAfter(t, '{"return":"\0","id":"2"}\n'), 'not-json');
  assert.equal(await endAfter(t, Buffer.from('{"return":"\xc0\x80","id":"2"}\n', 'latin1')), 'not-utf8');
  assert.equal(await endAfter(t, Buffer.from('{"return":"\xe2\x82\n"}\n', 'latin1')), 'not-utf8');
  assert.equal(await endAfter(t, '\ufeff{"return":{},"id":"2"}\n'), 'not-json');
  assert.equal(await endAfter(t, 'HTTP/1.1 200 OK\r\n\r\n'), 'not-json');
  assert.equal(await endAfter(t, '{"return":{"__proto__":{"polluted":true}},"id":"2"}\n'), 'not-json');
});

test('huge numbers and keys that come twice harm nothing', async (t) => {
  const session = await sessionWith(t, async (peer) => {
    await peer.begin();
    await peer.send(`{"return":[1e999,-1${'0'.repeat(400_000)}],"id":"${await peer.nextId()}"}\n`);
    await peer.send(`{"id":"1","return":1,"return":2,"id":"${await peer.nextId()}"}\n`);
  });
  assert.deepEqual(await session.execute('x', undefined, { timeoutMs }), {
    ok: true,
    value: [Infinity, -Infinity],
  });
  assert.deepEqual(await session.execute('x', undefined, { timeoutMs }), { ok: true, value: 2 });
});

test('characters that are split at every byte arrive whole', async (t) => {
  const text = 'ä€😀 \u2028';
  const session = await sessionWith(t, async (peer) => {
    await peer.sendByteByByte(greeting);
    await peer.reply(await peer.nextId());
    await peer.sendByteByByte(`{"event":"STOP"}\n{"return":"${text}","id":"${await peer.nextId()}"}\n`);
  });
  assert.deepEqual(await session.execute('x', undefined, { timeoutMs }), { ok: true, value: text });
});

/** What QEMU 7.2 said, each part after one command of ours. */
const recorded: readonly string[] = [
  greeting,
  '{"return": {}, "id": "1"}\r\n',
  '{"return": {"status": "prelaunch", "singlestep": false, "running": false}, "id": "2"}\r\n',
  '{"timestamp": {"seconds": 1795331229, "microseconds": 529446}, "event": "RESUME"}\r\n{"return": {}, "id": "3"}\r\n',
  '{"timestamp": {"seconds": 1795331229, "microseconds": 529770}, "event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}\r\n{"return": {}, "id": "4"}\r\n',
];

/** Plays the recording up to its byte `length` and hangs up there, with a FIN or with a reset. */
function playUpTo(length: number, hangUp: (peer: HostilePeer) => void): Behaviour {
  return async (peer) => {
    let left = length;
    for (const [index, part] of recorded.entries()) {
      if (index > 0) await peer.nextId();
      await peer.send(Buffer.from(part).subarray(0, left));
      left -= part.length;
      if (left <= 0) break;
    }
    hangUp(peer);
  };
}

for (const [how, hangUp] of [
  ['ends', (peer: HostilePeer) => peer.socket.end()],
  ['breaks', (peer: HostilePeer) => peer.socket.destroy()],
] as const)
  test(`a conversation that ${how} at any of its bytes ends the session, with every command answered`, async () => {
    const total = recorded.join('').length;
    for (let length = 0; length <= total; length += 1) {
      await using server = await HostileQmpServer.listen(playUpTo(length, hangUp));
      const opened = await QmpSession.open(await server.connect(), { greetingTimeoutMs: timeoutMs });
      if (!opened.ok) {
        assert.match(opened.reason.code, /^(peer-closed|transport-failed)$/);
        assert.ok(length <= (recorded[0] ?? '').length + (recorded[1] ?? '').length);
        continue;
      }
      await using session = opened.session;
      for (const command of ['query-status', 'cont', 'quit']) {
        const result = await session.execute(command, undefined, { timeoutMs });
        assert.ok(
          result.ok || result.code === 'session-ended',
          `at byte ${length}: ${JSON.stringify(result)}`,
        );
      }
      assert.match((await session.ended).code, /^(peer-closed|transport-failed)$/, `at byte ${length}`);
      const names: string[] = [];
      for await (const { event } of session.events) names.push(event.name);
      assert.deepEqual(names, ['RESUME', 'SHUTDOWN'].slice(0, names.length));
      if (length === total) assert.equal(names.length, 2);
    }
  });
