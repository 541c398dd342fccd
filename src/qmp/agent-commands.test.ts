/** What an agent answers is the guest's: of the promised form, or told as malformed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { agentChunkBytes, agentCommands, type AgentPort } from './agent-commands.ts';

const answering = (value: unknown): AgentPort => ({ execute: () => Promise.resolve({ ok: true, value }) });

test('a program and its end are read with base64 and nothing else in it', async () => {
  assert.deepEqual(await agentCommands.execStatus(answering({ exited: false }), { pid: 1 }), {
    ok: true,
    value: { exited: false },
  });
  const end = { exited: true, exitcode: 3, 'out-data': 'aGk=', 'err-truncated': true };
  assert.deepEqual(await agentCommands.execStatus(answering(end), { pid: 1 }), {
    ok: true,
    value: { exited: true, exitCode: 3, signal: null, stdout: 'aGk=', stderr: '', truncated: true },
  });
  for (const wrong of [
    { exited: 'yes' },
    { exited: true, 'out-data': 'no base64!' },
    { exited: true, 'out-data': 7 },
    { exited: true, 'err-data': 'a===' },
    null,
    [],
  ]) {
    const reply = await agentCommands.execStatus(answering(wrong), { pid: 1 });
    assert.equal(reply.ok ? 'taken' : reply.code, 'malformed', JSON.stringify(wrong));
  }
});

test('a part of a file is no longer than was asked for', async () => {
  const part = (length: number) => ({
    'buf-b64': Buffer.alloc(length).toString('base64'),
    eof: false,
    count: 1,
  });
  assert.ok((await agentCommands.fileRead(answering(part(agentChunkBytes)), { handle: 1 })).ok);
  assert.equal((await agentCommands.fileRead(answering(part(agentChunkBytes + 1)), { handle: 1 })).ok, false);
});

test('names that a guest tells are one line without control characters', async () => {
  const reply = await agentCommands.hostName(answering({ 'host-name': 'a\n\u001b]0;x\u0007b' }), undefined);
  assert.deepEqual(reply, { ok: true, value: 'a \ufffd]0;x\ufffdb' });
});

test('no answer whatever makes a command throw', async () => {
  await fc.assert(
    fc.asyncProperty(fc.anything(), async (value) => {
      const agent = answering(value);
      await agentCommands.execStatus(agent, { pid: 1 });
      await agentCommands.exec(agent, { argv: ['x'], env: {}, input: undefined });
      await agentCommands.fileRead(agent, { handle: 1 });
      await agentCommands.frozen(agent, undefined);
      await agentCommands.system(agent, undefined);
      await agentCommands.version(agent, undefined);
    }),
  );
});
