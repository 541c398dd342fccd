/** The agent is the guest's: it may be absent, late, or an enemy. */
import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { AgentSession, maxAgentLineBytes, maxStaleBytes } from './agent-session.ts';

interface Agent {
  /** The end that the session has. */
  readonly socket: Duplex;
  readonly send: (data: string | Buffer) => void;
  readonly received: readonly Record<string, unknown>[];
  readonly close: () => void;
}

/** Calls back for each command that comes, without the bytes 0xFF. */
function agent(onCommand: (command: Record<string, unknown>, agent: Agent) => void): Agent {
  const received: Record<string, unknown>[] = [];
  let unread = '';
  const socket = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      unread += chunk.toString('latin1').replaceAll('\u00ff', '');
      for (let end = unread.indexOf('\n'); end !== -1; end = unread.indexOf('\n')) {
        const command = JSON.parse(unread.slice(0, end)) as Record<string, unknown>;
        unread = unread.slice(end + 1);
        received.push(command);
        setImmediate(() => onCommand(command, self));
      }
      done();
    },
  });
  const self: Agent = {
    socket,
    received,
    send: (data) => void socket.push(typeof data === 'string' ? Buffer.from(data, 'latin1') : data),
    close: () => void socket.push(null),
  };
  return self;
}

const idOf = (command: Record<string, unknown>): number =>
  (command['arguments'] as { readonly id: number }).id;
const isSync = (command: Record<string, unknown>): boolean => command['execute'] === 'guest-sync-delimited';

/** As qemu-ga does. */
function answer(command: Record<string, unknown>, { send }: Agent): void {
  send(isSync(command) ? `\u00ff{"return": ${idOf(command)}}\n` : '{"return": {}}\n');
}

const quick = { timeoutMs: 200 };
const patient = { timeoutMs: 20_000 };

test('a command is answered, behind a sync of its own each time', async () => {
  const { socket, received } = agent(answer);
  using session = new AgentSession(socket);
  assert.deepEqual(await session.execute('guest-ping', undefined, patient), { ok: true, value: {} });
  assert.deepEqual(await session.execute('guest-info', { verbose: true }, patient), { ok: true, value: {} });
  assert.deepEqual(
    received.map(({ execute }) => execute),
    ['guest-sync-delimited', 'guest-ping', 'guest-sync-delimited', 'guest-info'],
  );
  const [first, , second] = received;
  assert.notEqual(first === undefined ? 0 : idOf(first), second === undefined ? 0 : idOf(second));
});

test('answers to what was asked before are thrown away', async () => {
  const { socket } = agent((command, peer) => {
    if (isSync(command)) peer.send('{"return": {}}\n\u00ff{"return": 7}\n{"return": [1, 2');
    answer(command, peer);
  });
  using session = new AgentSession(socket);
  assert.deepEqual(await session.execute('guest-ping', undefined, patient), { ok: true, value: {} });
});

test('silence ends with the time limit, and a later answer does not count for the next command', async () => {
  const late: Record<string, unknown>[] = [];
  let silent = true;
  const { socket } = agent((command, peer) => {
    if (silent) late.push(command);
    else answer(command, peer);
  });
  using session = new AgentSession(socket);
  const first = await session.execute('guest-ping', undefined, quick);
  assert.equal(first.ok ? '' : first.code, 'timed-out');
  assert.ok(session.open);
  silent = false;
  socket.push(Buffer.from(`\u00ff{"return": ${idOf(late[0] ?? {})}}\n`, 'latin1'));
  assert.deepEqual(await session.execute('guest-ping', undefined, patient), { ok: true, value: {} });
});

test('an agent that answers with another id is not believed', async () => {
  const { socket, received } = agent((command, { send }) => {
    if (isSync(command))
      send(`\u00ff{"return": ${idOf(command) + 1}}\n\u00ff{"return": "${idOf(command)}"}\n`);
  });
  using session = new AgentSession(socket);
  const reply = await session.execute('guest-ping', undefined, quick);
  assert.equal(reply.ok ? '' : reply.code, 'timed-out');
  assert.equal(received.length, 1);
});

test("the agent's refusal comes with its words, made printable", async () => {
  const { socket } = agent((command, peer) => {
    if (isSync(command)) answer(command, peer);
    else peer.send('{"error": {"class": "GenericError", "desc": "no \\u001b[31m"}}\n');
  });
  using session = new AgentSession(socket);
  assert.deepEqual(await session.execute('guest-shutdown', undefined, patient), {
    ok: false,
    code: 'qmp-error',
    class: 'GenericError',
    message: 'no \ufffd[31m',
  });
});

test('an old answer of any length before the sync is thrown away, whatever lines and delimiters are in it', async () => {
  const { socket } = agent((command, peer) => {
    if (!isSync(command)) {
      peer.send('{"return": {}}\n');
      return;
    }
    for (const old of [
      'x'.repeat(10 * maxAgentLineBytes),
      `\xff${'y'.repeat(300)}`,
      '\xff{"return": 1}\n',
      '\xff\n\n',
    ])
      peer.send(Buffer.from(old, 'latin1'));
    for (const byte of Buffer.from(`z\xff{"return": ${idOf(command)}}\n`, 'latin1'))
      peer.send(Buffer.of(byte));
  });
  using session = new AgentSession(socket);
  assert.deepEqual(await session.execute('guest-ping', undefined, patient), { ok: true, value: {} });
  assert.deepEqual(await session.execute('guest-ping', undefined, patient), { ok: true, value: {} });
});

for (const [what, flood] of [
  ['a line without end', Buffer.alloc(maxStaleBytes + 1, 'x')],
  ['lines without end', Buffer.from('{"return": 1}\n'.repeat(maxStaleBytes / 10))],
  ['lines behind 0xFF without end', Buffer.from('\xff{"return": 1}\n'.repeat(maxStaleBytes / 10), 'latin1')],
  ['bytes 0xFF without end', Buffer.alloc(maxStaleBytes + 1, 0xff)],
  ['newlines without end', Buffer.alloc(maxStaleBytes + 1, '\n')],
] as const)
  test(`${what} ends the session`, async () => {
    const { socket, send } = agent(() => undefined);
    using session = new AgentSession(socket);
    const reply = session.execute('guest-ping', undefined, patient);
    send(flood);
    const { ok } = await reply;
    assert.deepEqual([ok, session.open, socket.destroyed], [false, false, true]);
    const again = await session.execute('guest-ping', undefined, patient);
    assert.equal(again.ok ? '' : again.code, 'session-ended');
  });

for (const [what, line] of [
  ['no JSON', 'garbage'],
  ['JSON that is no object', '[1]'],
  ['an object without an answer', '{"event": "x"}'],
  ['deep nesting', `{"return": ${'['.repeat(1000)}${']'.repeat(1000)}}`],
] as const)
  test(`${what} in answer to a command ends the session`, async () => {
    const { socket } = agent((command, peer) => {
      if (isSync(command)) answer(command, peer);
      else peer.send(`${line}\n`);
    });
    using session = new AgentSession(socket);
    const reply = await session.execute('guest-ping', undefined, patient);
    assert.deepEqual([reply.ok ? '' : reply.code, session.open], ['session-ended', false]);
  });

test('while nothing is asked nothing is read', async () => {
  const { socket, send } = agent(answer);
  using session = new AgentSession(socket);
  for (let piece = 0; piece < 100; piece += 1) send(Buffer.alloc(1024, 'x'));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(socket.readableLength >= 100 * 1024 - 1024, 'it waits in the socket');
  assert.ok(session.open);
});

test('the end of the socket answers who waits, and two commands at once are one too many', async () => {
  const { socket, close } = agent(() => undefined);
  using session = new AgentSession(socket);
  const reply = session.execute('guest-ping', undefined, patient);
  const second = await session.execute('guest-ping', undefined, patient);
  assert.equal(second.ok ? '' : second.code, 'busy');
  close();
  const ended = await reply;
  assert.equal(ended.ok ? '' : ended.code, 'session-ended');
});
