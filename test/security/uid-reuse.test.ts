/**
 * Promise 2: no machine gets a uid under which anything still runs, however it hides: in another pid namespace, behind a main thread
 * that has ended, with the uid as its saved one alone. Needs root.
 */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { LaunchedMachine } from '../../src/protocol/broker.ts';
import { processesOfUids } from '../../src/linux/process.ts';
import { startTestBroker, traces, type TestBroker } from '../support/broker.ts';
import { testLaunch } from '../support/test-launch.ts';

/** Nobody else's: whatever runs as the first is killed here. Above those of test instances. */
const base = 0x7280_0000 + 2 * randomInt(1_000_000);

/** What a taken-over QEMU might have left, from perl as that uid; setresuid(2) is 117, exit(2) of one thread 60. */
const survivors: Readonly<Record<string, (uid: number) => readonly string[]>> = {
  'a plain process': (uid) => [...asUid(uid), 'sleep', '600'],
  'one in a pid namespace of its own': (uid) => [
    'unshare',
    '--pid',
    '--fork',
    '--kill-child',
    ...asUid(uid),
    'sleep',
    '600',
  ],
  'one whose main thread has ended': (uid) => [
    ...asUid(uid),
    'perl',
    '-e',
    'use threads; threads->create(sub { sleep 600 }); syscall(60, 0);',
  ],
  'one that keeps the uid as its saved one alone': (uid) => [
    'perl',
    '-e',
    `syscall(117, 0, 0, ${uid}) == 0 or die "$!"; sleep 600;`,
  ],
};

const asUid = (uid: number): string[] => [
  'setpriv',
  `--reuid=${uid}`,
  `--regid=${uid}`,
  '--clear-groups',
  '--',
];

async function launch(broker: TestBroker, machine: string): Promise<LaunchedMachine> {
  const reply = await broker.ask<LaunchedMachine>({
    v: 1,
    call: 'launch',
    launch: await testLaunch(machine),
  });
  assert.ok(reply.ok, JSON.stringify(reply));
  return reply.result;
}

async function holds(uid: number): Promise<void> {
  const giveUpAt = performance.now() + 10_000;
  while (processesOfUids(uid, 1).length === 0) {
    assert.ok(performance.now() < giveUpAt, `nothing runs as ${uid}`);
    await delay(5);
  }
}

async function end(child: ChildProcess, uid: number): Promise<void> {
  for (const pid of processesOfUids(uid, 1)) process.kill(pid, 'SIGKILL');
  child.kill('SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

for (const [name, command] of Object.entries(survivors))
  test(`${name} keeps its uid from being given to another machine`, async () => {
    await using broker = await startTestBroker({ uidRange: { base, count: 2 } });
    const [program = '', ...args] = command(base);
    const child = spawn(program, args, { stdio: 'ignore' });
    try {
      await holds(base);
      assert.equal((await launch(broker, 'one')).uid, base + 1);
      const reply = await broker.ask({ v: 1, call: 'launch', launch: await testLaunch('two') });
      assert.ok(!reply.ok);
      assert.match(reply.refusals[0]?.message ?? '', /every uid of the range is taken/);
    } finally {
      await end(child, base);
    }
    // It was that process, and nothing else, that kept it.
    assert.equal((await launch(broker, 'two')).uid, base);
    for (const machine of ['one', 'two'])
      assert.ok((await broker.ask({ v: 1, call: 'kill', machine })).ok, machine);
    assert.deepEqual(traces(broker.site), []);
  });
