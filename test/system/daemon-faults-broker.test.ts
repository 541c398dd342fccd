/** kill -9 of the broker, in the middle of launches too: no orphan, nothing left, and a clear word to whoever asked. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import { processesOfUids, startTimeOf } from '../../src/linux/process.ts';
import type { BrokerStatus } from '../../src/protocol/broker.ts';
import { askBroker, traces } from '../support/broker.ts';
import { startInstance, type Instance } from '../support/instance.ts';
import {
  define,
  defineAndStart,
  faultsOf,
  granted,
  killProcess,
  reach,
  rememberNoKvm,
  smallMachine,
  start,
  statusOf,
} from '../support/small-machine.ts';

const machineProcesses = ({ uidRange: { base, count } }: Instance): number[] => processesOfUids(base, count);

async function slots(instance: Instance): Promise<BrokerStatus['slots']> {
  const reply = await askBroker<BrokerStatus>(instance.paths.brokerSocket, { v: 1, call: 'status' });
  assert.ok(reply.ok);
  return reply.result.slots;
}

async function becomes<Value>(read: () => Value, expected: Value, message: string): Promise<void> {
  const deadline = performance.now() + 15_000;
  for (;;) {
    try {
      assert.deepEqual(read(), expected, message);
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await delay(20);
    }
  }
}

test('a broker killed in the middle of launches leaves no orphan, and every start is told the truth', async (t) => {
  await using instance = await startInstance();
  const names = ['one', 'two'];
  for (const name of names) await define(instance, smallMachine(name));
  const kept = await defineAndStart(instance, 'kept');
  const manager = instance.daemon('manager');
  const before = traces(instance);
  const told: string[] = [];
  for (let round = 0; round < 6; round += 1) {
    const starting = names.map((name) => instance.client.call('start', { name }));
    await delay(15 + round * 35);
    await killProcess(instance.daemon('broker'));
    // Half of the time it comes back while the manager still tries to clear away.
    if (round % 2 === 0) await instance.up();
    const replies = await Promise.all(starting);
    await instance.up();
    assert.equal(instance.daemon('manager'), manager);
    for (const [index, reply] of replies.entries()) {
      const name = names[index] ?? '';
      if (reply.ok) {
        assert.equal((await reach(instance, name, ['running'])).audit?.ok, true);
        granted(await instance.client.call('kill', { name }));
      } else {
        assert.match(faultsOf(reply), /^broker-unreachable: .*broker/);
        assert.match((await reach(instance, name, ['failed'])).lastEnd?.message ?? '', /broker/);
      }
      told.push(reply.ok ? 'started' : 'refused');
    }
    await becomes(() => machineProcesses(instance), [kept], `round ${round}: orphans`);
    await becomes(() => traces(instance), before, `round ${round}: traces`);
  }
  t.diagnostic(told.join(' '));
  assert.ok((await slots(instance)).length <= names.length + 1, 'one uid for each machine');
  for (const name of names) await start(instance, name);
  assert.equal((await statusOf(instance, 'kept')).pid, kept);
});

test('without a broker everything is said clearly, what runs goes on, and all works again afterwards', async () => {
  await using instance = await startInstance();
  const pid = await defineAndStart(instance, 'runs');
  await define(instance, smallMachine('rests'));
  await killProcess(instance.daemon('broker'));

  for (const [words, status] of [
    [['start', 'rests'], 1],
    [['kill', 'runs'], 1],
  ] as const) {
    const outcome = await instance.qward(words);
    assert.equal(outcome.status, status, `${words.join(' ')}: ${outcome.stdout}${outcome.stderr}`);
    assert.match(outcome.stderr, /the broker does not answer/);
    assert.match(outcome.stderr, /qward doctor/);
  }
  rememberNoKvm(instance);
  const doctor = await instance.qward(['doctor']);
  assert.match(doctor.stdout, /broker[^\n]*does not answer/);
  assert.match((await instance.qward(['list'])).stdout, /rests[^]*runs/);
  assert.equal((await instance.qward(['pause', 'runs'])).status, 0, 'needs no broker');
  assert.equal((await statusOf(instance, 'runs')).pid, pid);
  assert.ok(startTimeOf(pid) !== undefined);

  await instance.up();
  assert.equal((await instance.qward(['start', 'rests'])).status, 0);
  assert.equal((await instance.qward(['kill', 'runs', 'rests'])).status, 0);
  assert.deepEqual(traces(instance), []);
});

test('what ended while no broker ran is recorded, and cleared away when there is one', async () => {
  await using instance = await startInstance();
  const pid = await defineAndStart(instance, 'one');
  await killProcess(instance.daemon('broker'));
  await killProcess(pid);
  await reach(instance, 'one', ['crashed']);
  await instance.up();
  await becomes(() => traces(instance), [], 'cleared away');
  await start(instance, 'one');
});
