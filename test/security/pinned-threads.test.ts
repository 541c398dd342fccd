/** Promise 4: the request `pin` moves the threads of that very machine, to the CPUs that its launch named, and nothing else. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { LaunchedMachine } from '../../src/protocol/broker.ts';
import { startTestBroker, traces } from '../support/broker.ts';
import { testLaunch } from '../support/test-launch.ts';

const cpusOf = (pid: number): ReadonlySet<string> =>
  new Set(
    readdirSync(`/proc/${pid}/task`).map(
      (tid) =>
        /^Cpus_allowed_list:\t(.*)$/m.exec(readFileSync(`/proc/${pid}/task/${tid}/status`, 'utf8'))?.[1] ??
        '',
    ),
  );

test('a pin reaches its own machine alone, and a machine that runs only', async () => {
  await using broker = await startTestBroker();
  const ask = (machine: string): Promise<{ readonly ok: boolean }> =>
    broker.ask({ v: 1, call: 'pin', machine });
  const pids = await Promise.all(
    (['one', 'two'] as const).map(async (machine) => {
      const launch = { ...(await testLaunch(machine)), pins: [{ thread: '', cpus: [0] }] };
      const reply = await broker.ask<LaunchedMachine>({ v: 1, call: 'launch', launch });
      assert.ok(reply.ok, JSON.stringify(reply));
      return reply.result.pid;
    }),
  );
  const [one = 0, two = 0] = pids;
  const before = { two: cpusOf(two), broker: cpusOf(broker.pid) };
  assert.equal((await ask('one')).ok, true);
  assert.deepEqual(cpusOf(one), new Set(['0']));
  assert.deepEqual({ two: cpusOf(two), broker: cpusOf(broker.pid) }, before);
  // A machine that is not there, and one that has ended: nothing of another is touched by its old pid.
  await broker.ask({ v: 1, call: 'kill', machine: 'two' });
  for (const machine of ['none', 'two']) assert.equal((await ask(machine)).ok, false, machine);
  await broker.ask({ v: 1, call: 'kill', machine: 'one' });
  assert.deepEqual(traces(broker.site), []);
});

test('a launch that names CPUs is held to numbers of CPUs and names of threads', async () => {
  await using broker = await startTestBroker();
  const launch = await testLaunch('one');
  for (const pins of [[{ thread: '', cpus: [-1] }], [{ thread: '../x;', cpus: [0] }], [{ cpus: [0] }], 'all'])
    await assert.rejects(broker.ask({ v: 1, call: 'launch', launch: { ...launch, pins } } as never));
  assert.deepEqual(traces(broker.site), []);
});
