/** Throwaway machines in tests: one that runs, and what is left of any. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { CallResult } from '../../src/api/calls.ts';
import { isAlive, processesOfUids, startTimeOf } from '../../src/linux/process.ts';
import { traces } from './broker.ts';
import type { Instance } from './instance.ts';

type Summary = CallResult<'list'>[number];

export interface RunningThrowaway extends Summary {
  readonly pid: number;
  readonly alive: () => boolean;
}

/** The one that runs, once one does. */
export async function throwawayThatRuns(instance: Instance): Promise<RunningThrowaway> {
  const giveUpAt = performance.now() + 60_000;
  for (;;) {
    const reply = await instance.client.call('list');
    assert.ok(reply.ok);
    const [found] = reply.result.filter(
      ({ name, state }) => name.startsWith('throwaway-') && state === 'running',
    );
    if (found !== undefined && found.pid !== null) {
      const { pid } = found;
      const startTime = startTimeOf(pid) ?? 0;
      return { ...found, pid, alive: () => isAlive(pid, startTime) };
    }
    assert.ok(performance.now() < giveUpAt, 'no throwaway machine comes up');
    await delay(20);
  }
}

/** Everything of the host that has to do with one: machines, files, registers, mounts, cgroups, processes. */
export async function throwawaysLeft(instance: Instance): Promise<readonly string[]> {
  const { paths, uidRange } = instance;
  const reply = await instance.client.call('list').catch(() => undefined);
  const listed = reply?.ok === true ? reply.result.map(({ name, state }) => `${name} is ${state}`) : [];
  const places = ['console', 'logs', 'runs', 'throwaways', 'machines'].map(
    (directory) => `${paths.managerState}/${directory}`,
  );
  const files = [paths.vars, ...places].flatMap((directory) =>
    entriesOf(directory).map((entry) => `${directory}/${entry}`),
  );
  const registers = ['slots', 'claims'].flatMap((name) => {
    const text = textOf(`${paths.brokerState}/${name}.json`);
    return text.includes('throwaway-') ? [`${name}: ${text}`] : [];
  });
  const processes = processesOfUids(uidRange.base, uidRange.count).map((pid) => `process ${pid}`);
  return [
    ...[...listed, ...files, ...traces(instance)].filter((one) => one.includes('throwaway-')),
    ...registers,
    ...processes,
  ];
}

/** Waits until nothing is left of any: what is cleared away after a death, of which no event tells. */
export async function untilNoneIsLeft(instance: Instance, limitMs = 20_000): Promise<void> {
  const giveUpAt = performance.now() + limitMs;
  for (;;) {
    const left = await throwawaysLeft(instance);
    if (left.length === 0) return;
    if (performance.now() > giveUpAt) assert.deepEqual(left, []);
    await delay(50);
  }
}

function entriesOf(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
