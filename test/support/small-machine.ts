/** Machines without a guest: firmware that finds nothing to boot, up at once and nearly free; and asking about machines. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { CallResult } from '../../src/api/calls.ts';
import type { Reply } from '../../src/api/client.ts';
import type { MachineState } from '../../src/api/endpoints.ts';
import { isAlive, startTimeOf } from '../../src/linux/process.ts';
import type { Instance } from './instance.ts';
import { patienceMs } from './patience.ts';

/** YAML of a machine of 32 MiB; `more`: further lines, top level. */
export function smallMachine(name: string, more: readonly string[] = []): string {
  return [`name: ${name}`, 'accel: tcg', 'memory: 32MiB', ...more, ''].join('\n');
}

/** The result of a call that must succeed. */
export function granted<Result>(reply: Reply<Result>): Result {
  assert.ok(reply.ok, JSON.stringify(reply));
  return reply.result;
}

/** `code: message` of each fault of a call that must fail; every one has a hint. */
export function faultsOf(reply: Reply<unknown>): string {
  assert.ok(!reply.ok, `succeeded: ${JSON.stringify(reply)}`);
  for (const { hint, message } of reply.faults) assert.notEqual(hint, '', message);
  return reply.faults.map(({ code, message }) => `${code}: ${message}`).join('\n');
}

export async function define(instance: Instance, source: string): Promise<void> {
  granted(await instance.client.call('define', { source, replace: false, dryRun: false }));
}

/** Starts it; gives its pid. */
export async function start(instance: Instance, name: string): Promise<number> {
  granted(await instance.client.call('start', { name }));
  const { pid } = await statusOf(instance, name);
  assert.ok(pid !== null);
  return pid;
}

export async function defineAndStart(instance: Instance, name: string): Promise<number> {
  await define(instance, smallMachine(name));
  return await start(instance, name);
}

export async function statusOf(instance: Instance, name: string): Promise<CallResult<'status'>> {
  return granted(await instance.client.call('status', { name }));
}

/** Leaves the verdict that an earlier manager of this boot would have left: `doctor` need not try KVM for seconds. */
export function rememberNoKvm({ paths }: Instance): void {
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  const verdict = { version: 1, bootId, works: false, reason: 'not tried in this test' };
  writeFileSync(`${paths.managerRun}/kvm.json`, JSON.stringify(verdict), { mode: 0o644 });
}

/** Waits until the machine is in one of these states. */
export async function reach(
  instance: Instance,
  name: string,
  states: readonly MachineState[],
): Promise<CallResult<'status'>> {
  granted(await instance.client.call('wait', { name, states: [...states], timeoutMs: 30_000 }));
  return await statusOf(instance, name);
}

/** Output of the console until it matches; fails after `timeoutMs`. */
export async function consoleShows(
  instance: Instance,
  name: string,
  pattern: RegExp,
  timeoutMs = 60_000,
): Promise<string> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const { output } = granted(await instance.client.call('consoleOutput', { name }));
    const text = Buffer.from(output, 'base64').toString('utf8');
    if (pattern.test(text)) return text;
    assert.ok(performance.now() < deadline, `the console of "${name}" does not show ${pattern}: ${text}`);
    await delay(100);
  }
}

/** SIGKILL, and waits for the end. */
export async function killProcess(pid: number): Promise<void> {
  const startTime = startTimeOf(pid);
  assert.ok(startTime !== undefined, `process ${pid} lives`);
  process.kill(pid, 'SIGKILL');
  await gone(pid, startTime);
}

export async function gone(pid: number, startTime: number): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (isAlive(pid, startTime)) {
    assert.ok(performance.now() < deadline, `process ${pid} does not end`);
    await delay(2);
  }
}
