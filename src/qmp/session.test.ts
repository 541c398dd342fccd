import assert from 'node:assert/strict';
import { type Duplex, duplexPair } from 'node:stream';
import { type TestContext, test } from 'node:test';
import * as fc from 'fast-check';
import { maxLineMs, maxOutstanding, maxTimeoutsInARow } from './limits.ts';
import { QmpSession } from './session.ts';

const greeting = '{"QMP":{"version":{"qemu":{"micro":22,"minor":2,"major":7}},"capabilities":[]}}\r\n';
const event = (name: string): string => `{"event":"${name}"}\r\n`;
const reply = (id: string, value: unknown = {}): string => `${JSON.stringify({ return: value, id })}\r\n`;
const timeoutMs = 2_000;

/** The other end of a session: what arrived, as commands. */
class Peer {
  readonly end: Duplex;
  readonly writes: string[] = [];
  readonly #waiting: (() => void)[] = [];

  constructor(end: Duplex) {
    this.end = end;
    end.on('data', (chunk: Buffer) => {
      this.writes.push(chunk.toString('utf8'));
      for (const wake of this.#waiting.splice(0)) wake();
    });
  }

  send(text: string): void {
    this.end.write(text);
  }

  /** Ids of the commands, once there are `count` of them. */
  async ids(count: number): Promise<readonly string[]> {
    for (;;) {
      const ids = [...this.writes.join('').matchAll(/"id":"(\d+)"\}/g)].map((match) => match[1] ?? '');
      if (ids.length >= count) return ids;
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`${ids.length} of ${count} commands came`)),
          timeoutMs,
        );
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }
}

async function openPair(t: TestContext): Promise<{ session: QmpSession; peer: Peer }> {
  const [ours, theirs] = duplexPair();
  const peer = new Peer(theirs);
  const opening = QmpSession.open(ours, { greetingTimeoutMs: timeoutMs });
  peer.send(greeting);
  const [id] = await peer.ids(1);
  peer.send(reply(id ?? ''));
  const opened = await opening;
  assert.ok(opened.ok);
  t.after(() => opened.session[Symbol.asyncDispose]());
  return { session: opened.session, peer };
}

test('greeting, negotiation, a command, an event, the end', async (t) => {
  const { session, peer } = await openPair(t);
  assert.deepEqual(session.version, { major: 7, minor: 2, micro: 22 });
  const answer = session.execute('query-status', undefined, { timeoutMs });
  await peer.ids(2);
  peer.send(event('STOP') + reply('2', { running: true }));
  assert.deepEqual(await answer, { ok: true, value: { running: true } });
  peer.end.end();
  assert.equal((await session.ended).code, 'peer-closed');
  const seen: string[] = [];
  for await (const { event } of session.events) seen.push(event.name);
  assert.deepEqual(seen, ['STOP']);
  const late = await session.execute('cont', undefined, { timeoutMs });
  assert.ok(!late.ok);
  assert.equal(late.code, 'session-ended');
});

test('commands of one turn leave in one write, and answers are matched in any order', async (t) => {
  const { session, peer } = await openPair(t);
  const before = peer.writes.length;
  const answers = Promise.all(['a', 'b', 'c'].map((name) => session.execute(name, undefined, { timeoutMs })));
  const ids = (await peer.ids(4)).slice(1);
  assert.equal(peer.writes.length, before + 1);
  for (const id of ids.toReversed()) peer.send(reply(id, `to ${id}`));
  assert.deepEqual(
    await answers,
    ids.map((id) => ({ ok: true, value: `to ${id}` })),
  );
});

test('however the stream is cut, the session understands the same', async (t) => {
  const text = event('RESUME') + reply('2', { text: 'ä€😀\u2028' }) + event('STOP');
  const bytes = Buffer.from(text, 'utf8');
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 40 }), async (places) => {
      const { session, peer } = await openPair(t);
      const answer = session.execute('x', undefined, { timeoutMs });
      await peer.ids(2);
      let start = 0;
      for (const place of [...places, bytes.length].sort((a, b) => a - b)) {
        peer.end.write(bytes.subarray(start, place));
        start = place;
      }
      assert.deepEqual(await answer, { ok: true, value: { text: 'ä€😀\u2028' } });
      peer.end.end();
      await session.ended;
      const seen: string[] = [];
      for await (const { event } of session.events) seen.push(event.name);
      assert.deepEqual(seen, ['RESUME', 'STOP']);
    }),
    { numRuns: 50 },
  );
});

test('an answer that is nobody’s ends the session, and nobody gets it', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    [reply('3'), 'wrong-id'],
    [reply('1'), 'wrong-id'],
    [reply('02'), 'wrong-id'],
    [reply('__proto__'), 'wrong-id'],
    ['{"return":{}}\n', 'wrong-id'],
    ['{"return":{},"id":2}\n', 'wrong-id'],
    ['{"return":{},"error":{"class":"A","desc":"b"},"id":"2"}\n', 'not-qmp'],
    [greeting, 'not-qmp'],
    ['\n', 'not-json'],
  ];
  for (const [line, code] of cases) {
    const { session, peer } = await openPair(t);
    const answer = session.execute('x', undefined, { timeoutMs });
    await peer.ids(2);
    peer.send(line);
    const result = await answer;
    assert.ok(!result.ok);
    assert.equal(result.code, 'session-ended', line);
    assert.equal((await session.ended).code, code, line);
  }
});

test('the first of two answers counts and the second ends the session', async (t) => {
  const { session, peer } = await openPair(t);
  const answer = session.execute('x', undefined, { timeoutMs });
  await peer.ids(2);
  peer.send(reply('2', 'first') + reply('2', 'second'));
  assert.deepEqual(await answer, { ok: true, value: 'first' });
  assert.equal((await session.ended).code, 'wrong-id');
});

test('a late answer is dropped, once, and other commands go on meanwhile', async (t) => {
  const { session, peer } = await openPair(t);
  const slow = session.execute('slow', undefined, { timeoutMs: 5 });
  const quick = session.execute('quick', undefined, { timeoutMs });
  await peer.ids(3);
  peer.send(reply('3', 'quick'));
  assert.deepEqual(await quick, { ok: true, value: 'quick' });
  const timedOut = await slow;
  assert.ok(!timedOut.ok);
  assert.equal(timedOut.code, 'timed-out');
  peer.send(reply('2', 'late'));
  const next = session.execute('next', undefined, { timeoutMs });
  await peer.ids(4);
  peer.send(reply('4', 'next'));
  assert.deepEqual(await next, { ok: true, value: 'next' });
  assert.equal(session.endReason, undefined);
  peer.send(reply('2', 'late again'));
  assert.equal((await session.ended).code, 'wrong-id');
});

test('silence on command after command ends the session', async (t) => {
  const { session } = await openPair(t);
  for (let asked = 0; asked <= maxTimeoutsInARow; asked += 1) {
    assert.equal(session.endReason, undefined);
    const result = await session.execute('x', undefined, { timeoutMs: 1 });
    assert.equal(result.ok || result.code, 'timed-out');
  }
  assert.equal((await session.ended).code, 'unresponsive');
});

test('commands without an answer are bounded, and the answered ones make room', async (t) => {
  const { session, peer } = await openPair(t);
  const out = Array.from({ length: maxOutstanding }, () => session.execute('x', undefined, { timeoutMs }));
  const tooMany = await session.execute('x', undefined, { timeoutMs });
  assert.equal(tooMany.ok || tooMany.code, 'busy');
  const ids = (await peer.ids(1 + maxOutstanding)).slice(1);
  for (const id of ids) peer.send(reply(id));
  assert.ok((await Promise.all(out)).every((result) => result.ok));
  const room = session.execute('x', undefined, { timeoutMs });
  const last = (await peer.ids(2 + maxOutstanding)).at(-1);
  peer.send(reply(last ?? ''));
  assert.ok((await room).ok);
});

test('a QEMU that does not read costs bounded memory', async () => {
  const [ours, theirs] = duplexPair();
  const opening = QmpSession.open(ours, { greetingTimeoutMs: timeoutMs });
  theirs.write(greeting + event('STOP'));
  await new Promise<void>((resolve) => theirs.once('readable', resolve));
  theirs.write(reply('1'));
  const opened = await opening;
  assert.ok(opened.ok);
  const args = { text: 'x'.repeat(200 * 1024) };
  const sent = Array.from({ length: 10 }, () => opened.session.execute('x', args, { timeoutMs }));
  await opened.session[Symbol.asyncDispose]();
  const codes = (await Promise.all(sent)).map((result) => result.ok || result.code);
  assert.ok(codes.filter((code) => code === 'busy').length >= 5, codes.join());
});

test('a line that drips in must be whole in time', async (t) => {
  const { session, peer } = await openPair(t);
  t.mock.timers.enable({ apis: ['setTimeout'] });
  peer.send('{"ev');
  await new Promise((resolve) => setImmediate(resolve));
  t.mock.timers.tick(maxLineMs - 1);
  peer.send('ent":');
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(session.endReason, undefined);
  t.mock.timers.tick(1);
  assert.equal((await session.ended).code, 'line-stalled');
});

test('an opening that leads to nothing says why and closes the socket', async () => {
  const open = async (
    text: string,
    more: { signal?: AbortSignal } = {},
  ): Promise<readonly [string, boolean]> => {
    const [ours, theirs] = duplexPair();
    theirs.write(text);
    const opened = await QmpSession.open(ours, { greetingTimeoutMs: 20, ...more });
    assert.ok(!opened.ok);
    return [opened.reason.code, ours.destroyed];
  };
  assert.deepEqual(await open(''), ['greeting-timed-out', true]);
  assert.deepEqual(await open(greeting.slice(0, 10)), ['greeting-timed-out', true]);
  assert.deepEqual(await open(greeting), ['greeting-timed-out', true]);
  assert.deepEqual(await open(event('STOP')), ['not-qmp', true]);
  assert.deepEqual(await open(reply('1')), ['not-qmp', true]);
  assert.deepEqual(await open(greeting + greeting), ['not-qmp', true]);
  assert.deepEqual(await open(greeting + reply('1')), ['wrong-id', true]);
  assert.deepEqual(await open('SSH-2.0-OpenSSH\r\n'), ['not-json', true]);
  assert.deepEqual(await open(greeting, { signal: AbortSignal.abort() }), ['aborted', true]);
  const controller = new AbortController();
  queueMicrotask(() => controller.abort());
  assert.deepEqual(await open(greeting, { signal: controller.signal }), ['aborted', true]);
});

test('a socket that is closed already, and a refusal to negotiate', async () => {
  const [closed] = duplexPair();
  closed.destroy();
  const opened = await QmpSession.open(closed, { greetingTimeoutMs: timeoutMs });
  assert.equal(opened.ok || opened.reason.code, 'peer-closed');
  const [ours, theirs] = duplexPair();
  const peer = new Peer(theirs);
  const opening = QmpSession.open(ours, { greetingTimeoutMs: timeoutMs });
  peer.send(greeting);
  await peer.ids(1);
  peer.send('{"error":{"class":"GenericError","desc":"no"},"id":"1"}\n');
  const refused = await opening;
  assert.ok(!refused.ok);
  assert.equal(refused.reason.code, 'negotiation-refused');
  assert.match(refused.reason.message, /no$/);
});

test('a broken socket and a disposal end what is out', async (t) => {
  for (const breaking of ['error', 'dispose'] as const) {
    const [ours, theirs] = duplexPair();
    const peer = new Peer(theirs);
    const opening = QmpSession.open(ours, { greetingTimeoutMs: timeoutMs });
    peer.send(greeting);
    await peer.ids(1);
    peer.send(reply('1'));
    const opened = await opening;
    assert.ok(opened.ok);
    t.after(() => opened.session[Symbol.asyncDispose]());
    const answer = opened.session.execute('x', undefined, { timeoutMs });
    if (breaking === 'error') ours.destroy(new Error('read EIO'));
    else await opened.session[Symbol.asyncDispose]();
    const result = await answer;
    assert.equal(result.ok || result.code, 'session-ended');
    assert.equal((await opened.session.ended).code, breaking === 'error' ? 'transport-failed' : 'disposed');
  }
});
