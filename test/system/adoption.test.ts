/**
 * Managers end and come back; machines run on, and the new one takes all of them over. What is asserted is that nothing is lost;
 * how long it takes is a row of the bench (bench/adoption.ts), and here only said.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import { isAlive, startTimeOf } from '../../src/linux/process.ts';
import { traces } from '../support/broker.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { startInstance, type Instance } from '../support/instance.ts';
import { typeBehindTheManager } from '../support/type-behind-manager.ts';
import {
  consoleShows,
  define,
  defineAndStart,
  gone,
  granted,
  killProcess,
  reach,
  smallMachine,
  start,
  statusOf,
} from '../support/small-machine.ts';

async function pids(instance: Instance): Promise<ReadonlyMap<string, number | null>> {
  const list = granted(await instance.client.call('list'));
  return new Map(list.map(({ name, pid }) => [name, pid]));
}

async function allRunning(instance: Instance): Promise<void> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const list = granted(await instance.client.call('list'));
    const others = list.filter(({ state }) => state !== 'running');
    if (others.length === 0) return;
    assert.ok(performance.now() < deadline, others.map(({ name, state }) => `${name}: ${state}`).join(', '));
    await delay(5);
  }
}

async function type(instance: Instance, name: string, text: string): Promise<void> {
  const stream = granted(await instance.client.console({ name, mode: 'write', steal: true, replay: false }));
  stream.write(Buffer.from(text));
  await consoleShows(instance, name, new RegExp(text.trim().split(' ')[0] ?? ''));
  stream.close();
}

test('20 machines run on through kill -9 of the manager, and a new one adopts all of them', async (t) => {
  await using instance = await startInstance();
  const guests = ['guest-a', 'guest-b'];
  for (const name of guests) {
    await define(instance, demoMachine({ name, guest: instance.guest, memory: '96MiB' }));
    await start(instance, name);
  }
  const small = Array.from({ length: 18 }, (_, index) => `small-${index}`);
  for (const name of small) await defineAndStart(instance, name);
  for (const name of guests) await consoleShows(instance, name, /qward-demo: ready/);
  const before = await pids(instance);
  assert.equal(before.size, 20);

  await killProcess(instance.daemon('manager'));
  for (const pid of before.values()) assert.ok(pid !== null && startTimeOf(pid) !== undefined);
  const begun = performance.now();
  await instance.up();
  await allRunning(instance);
  const took = performance.now() - begun;
  t.diagnostic(`20 machines adopted ${Math.round(took)} ms after \`qward host up\` was called`);
  assert.deepEqual(await pids(instance), before);

  await type(instance, 'guest-a', 'echo answer-$((40 + 2))\n');
  const text = await consoleShows(instance, 'guest-a', /answer-42/);
  assert.match(text, /qward-demo: ready/, 'what was said before is kept');
  assert.equal(granted(await instance.client.call('stop', { name: 'guest-a' })).outcome, 'shut down');
  assert.equal((await instance.qward(['audit', 'guest-b', 'small-0'])).status, 0);
  const killed = granted(await instance.client.call('stop', { name: 'small-0', timeoutMs: 0 }));
  assert.match(killed.outcome, /^killed/);
  const outcome = await instance.qward(['kill', '--all', '--yes']);
  assert.equal(outcome.status, 0, outcome.stderr);
  assert.deepEqual(traces(instance), []);
});

test('what ended while no manager ran is noticed, recorded and cleared away', async () => {
  await using instance = await startInstance();
  await define(instance, demoMachine({ name: 'guest', guest: instance.guest, memory: '96MiB' }));
  const guest = await start(instance, 'guest');
  const victim = await defineAndStart(instance, 'victim');
  const other = await defineAndStart(instance, 'other');
  await consoleShows(instance, 'guest', /qward-demo: ready/);

  await killProcess(instance.daemon('manager'));
  const startTime = startTimeOf(guest) ?? 0;
  await typeBehindTheManager(instance, 'guest', 'poweroff -f\n');
  await gone(guest, startTime);
  await killProcess(victim);
  await instance.up();

  for (const name of ['guest', 'victim']) {
    const { lastEnd, pid } = await reach(instance, name, ['stopped', 'crashed']);
    assert.equal(pid, null);
    assert.match(lastEnd?.message ?? '', /ended|shut down/);
  }
  assert.equal((await reach(instance, 'other', ['running'])).pid, other);
  assert.ok(
    traces(instance).every((path) => /other/.test(path)),
    traces(instance).join('\n'),
  );
  await start(instance, 'victim');
});

test('a call in the first instant of a new manager finds what runs', async () => {
  await using instance = await startInstance();
  const pid = await defineAndStart(instance, 'one');
  for (const call of ['start', 'kill'] as const) {
    await killProcess(instance.daemon('manager'));
    const up = instance.up();
    let reply = await instance.client.call(call, { name: 'one' }).catch(() => undefined);
    while (reply === undefined)
      reply = await instance.client.call(call, { name: 'one' }).catch(() => undefined);
    await up;
    assert.equal(granted(reply).outcome, call === 'start' ? 'already running' : 'killed');
    if (call === 'start') assert.equal((await statusOf(instance, 'one')).pid, pid);
  }
  assert.deepEqual(traces(instance), []);
});

test('a manager killed at any instant of a start leaves a machine that is proved, or none', async (t) => {
  await using instance = await startInstance();
  await define(instance, smallMachine('one'));
  const seen: string[] = [];
  for (let round = 0; round < 8; round += 1) {
    const starting = instance.client.call('start', { name: 'one' }).catch(() => undefined);
    await delay(20 + round * 25);
    await killProcess(instance.daemon('manager'));
    await starting;
    await instance.up();
    const { state, pid, lastEnd } = await reach(instance, 'one', ['running', 'stopped', 'failed', 'crashed']);
    seen.push(state);
    if (state === 'running') {
      assert.ok(pid !== null && isAlive(pid, startTimeOf(pid) ?? 0));
      assert.equal((await instance.qward(['audit', 'one'])).status, 0);
      granted(await instance.client.call('kill', { name: 'one' }));
    } else {
      assert.match(JSON.stringify(lastEnd ?? 'never started'), /start|killed/);
    }
    assert.deepEqual(traces(instance), [], `round ${round}, ${state}`);
  }
  await start(instance, 'one');
  t.diagnostic(seen.join(' '));
});
