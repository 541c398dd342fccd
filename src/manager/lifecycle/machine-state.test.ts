import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeExit, type RunExit } from './machine-state.ts';

const exit: RunExit = {
  ending: 'none',
  shutdown: undefined,
  end: undefined,
  witnessed: true,
  limits: { memory: false, pids: false },
  log: ['last words'],
  at: '2026-01-01T00:00:00.000Z',
};
const guestShutdown = { guest: true, reason: 'guest-shutdown' };
const status = (exitCode: number) => ({ signal: null, exitCode });

const cases: readonly [string, Partial<RunExit>, string, string][] = [
  ['a guest that powers off', { shutdown: guestShutdown, end: status(0) }, 'stopped', 'shut down'],
  ['the same where the kernel does not tell', { shutdown: guestShutdown }, 'stopped', 'shut down'],
  ['a stop that the guest follows', { ending: 'powerdown', end: status(0) }, 'stopped', 'shut down'],
  ['a kill', { ending: 'kill', end: { signal: 'SIGKILL', exitCode: null } }, 'stopped', 'killed'],
  ['kill -9 from outside', { end: { signal: 'SIGKILL', exitCode: null } }, 'crashed', 'crashed'],
  [
    'a crash after a shutdown event',
    { shutdown: guestShutdown, end: { signal: 'SIGSEGV', exitCode: null } },
    'crashed',
    'crashed',
  ],
  ['a QEMU that gives up', { end: status(1) }, 'crashed', 'crashed'],
  ['an end that was seen and that the kernel does not explain', {}, 'crashed', 'crashed'],
  ['an end that nobody saw', { witnessed: false }, 'stopped', 'not known'],
];

for (const [name, differences, state, how] of cases)
  test(`${name} is ${state}, ${how}`, () => {
    const judged = judgeExit({ ...exit, ...differences });
    assert.deepEqual([judged.state, judged.lastEnd.how], [state, how]);
    assert.deepEqual(judged.lastEnd.log, ['last words']);
  });

test('the signal is told', () => {
  const { lastEnd } = judgeExit({ ...exit, end: { signal: 'SIGABRT', exitCode: null } });
  assert.equal(lastEnd.signal, 'SIGABRT');
  assert.match(lastEnd.message, /SIGABRT/);
});

test("a limit that the kernel enforced is the reason, with the definition's key", () => {
  const killed = { signal: 'SIGKILL', exitCode: null };
  const messageOf = (differences: Partial<RunExit>): string =>
    judgeExit({ ...exit, ...differences }).lastEnd.message;
  assert.equal(messageOf({ end: killed }), 'QEMU was ended by SIGKILL');
  assert.match(
    messageOf({ end: killed, limits: { memory: true, pids: false } }),
    /SIGKILL: .*limits\.memory/,
  );
  assert.match(
    messageOf({ end: status(1), limits: { memory: false, pids: true } }),
    /status 1: .*limits\.pids/,
  );
  assert.match(messageOf({ limits: { memory: true, pids: false } }), /does not tell how: .*limits\.memory/);
});
