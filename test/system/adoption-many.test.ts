/**
 * Fifty real QEMU processes whose manager is killed: the next one has all of them, and what ended meanwhile. What is asserted is
 * that nothing is lost; how long it takes is a row of the bench (bench/adoption.ts), and here only said.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import { startTimeOf } from '../../src/linux/process.ts';
import { traces } from '../support/broker.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { startInstance, type Instance } from '../support/instance.ts';
import { typeBehindTheManager } from '../support/type-behind-manager.ts';
import {
  consoleShows,
  define,
  gone,
  granted,
  killProcess,
  smallMachine,
  start,
  statusOf,
} from '../support/small-machine.ts';

const count = 50;

/** Rows that are not yet as an adopted machine's are. */
async function untilAdopted(instance: Instance): Promise<void> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const rows = granted(await instance.client.call('list'));
    const open = rows.filter(({ state }) => state === 'unreachable');
    if (rows.length === count && open.length === 0) return;
    assert.ok(performance.now() < deadline, open.map(({ name }) => name).join(' '));
    await delay(10);
  }
}

test(`${count} machines outlive kill -9 of the manager; the next has them all, and the ends that nobody saw`, async (t) => {
  await using instance = await startInstance();
  const small = Array.from({ length: count - 3 }, (_, index) => `small-${index}`);
  for (const name of ['stays', 'leaves'])
    await define(instance, demoMachine({ name, guest: instance.guest, memory: '96MiB' }));
  for (const name of small) await define(instance, smallMachine(name));
  const [stays, leaves] = [await start(instance, 'stays'), await start(instance, 'leaves')];
  for (let first = 0; first < small.length; first += 4)
    await Promise.all(
      small.slice(first, first + 4).map(async (name) => {
        granted(await instance.client.call('start', { name, paused: true }));
      }),
    );
  for (const name of ['stays', 'leaves']) await consoleShows(instance, name, /qward-demo: ready/);
  const before = new Map(granted(await instance.client.call('list')).map(({ name, pid }) => [name, pid]));
  const crashes = before.get('small-7') ?? 0;
  // The answer to a start is enough: nobody waits before the manager dies.
  await define(instance, smallMachine('late'));
  granted(await instance.client.call('start', { name: 'late', paused: true }));

  await killProcess(instance.daemon('manager'));
  const leftAt = startTimeOf(leaves) ?? 0;
  await typeBehindTheManager(instance, 'leaves', 'poweroff -f\n');
  await gone(leaves, leftAt);
  await killProcess(crashes);

  const begun = performance.now();
  await instance.up();
  const up = performance.now();
  const rows = granted(await instance.client.call('list'));
  const listed = performance.now();
  await untilAdopted(instance);
  const adopted = performance.now();
  granted(await instance.client.call('stop', { name: 'small-0', timeoutMs: 0 }));
  const stopped = performance.now();
  const [adoptedMs, listMs, stopMs] = [adopted - up, listed - up, stopped - adopted];
  t.diagnostic(
    `${count} machines: up ${Math.round(up - begun)} ms, all adopted ${Math.round(adoptedMs)} ms after it, list ${Math.round(listMs)} ms, stop ${Math.round(stopMs)} ms`,
  );
  assert.equal(rows.length, count);

  const after = new Map(granted(await instance.client.call('list')).map((row) => [row.name, row]));
  const ended = new Set(['leaves', 'small-0', 'small-7']);
  for (const [name, pid] of before) {
    const row = after.get(name);
    const state = name === 'stays' ? 'running' : 'paused';
    if (!ended.has(name)) assert.deepEqual([name, row?.state, row?.pid], [name, state, pid]);
  }
  // How an end that nobody saw came about is the kernel's to tell, from 6.15 on.
  for (const name of ['leaves', 'small-7']) {
    const { state, pid, lastEnd } = await statusOf(instance, name);
    assert.equal(pid, null, name);
    assert.match(state, /stopped|crashed/);
    assert.match(lastEnd?.message ?? name, /ended|shut down/);
    const { lines } = granted(await instance.client.call('logs', { name }));
    assert.ok(
      lines.some(({ text }) => /ended|shut down/.test(text)),
      `${name}: ${JSON.stringify(lines)}`,
    );
  }

  assert.equal((await statusOf(instance, 'late')).state, 'paused');
  const stream = granted(
    await instance.client.console({ name: 'stays', mode: 'write', steal: true, replay: false }),
  );
  stream.write(Buffer.from('echo answer-$((40 + 2))\n'));
  const said = await consoleShows(instance, 'stays', /answer-42/);
  stream.close();
  assert.match(said, /qward-demo: ready/, 'what was said before is kept');
  assert.equal((await statusOf(instance, 'stays')).pid, stays);
  granted(await instance.client.call('resume', { name: 'small-1' }));
  assert.equal(granted(await instance.client.call('stop', { name: 'stays' })).outcome, 'shut down');
  const outcome = await instance.qward(['kill', '--all', '--yes']);
  assert.equal(outcome.status, 0, outcome.stderr);
  assert.deepEqual(traces(instance), []);
});
