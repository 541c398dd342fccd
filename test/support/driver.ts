/** What system tests do with an instance over and over: run the CLI, define machines, watch consoles, look for what is left. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { processesOfUids } from '../../src/linux/process.ts';
import type { CallResult } from '../../src/api/calls.ts';
import { traces } from './broker.ts';
import { readyLine } from './demo-guest.ts';
import { demoMachine, type DemoMachine } from './demo-machine.ts';
import type { Instance, RunOptions } from './instance.ts';

/** A command line without quotes in it, or its words. */
type Words = string | readonly string[];

const split = (words: Words): readonly string[] => (typeof words === 'string' ? words.split(' ') : words);

/** Runs the CLI, which must succeed; gives what it printed, without the last line feed. */
export async function done(instance: Instance, words: Words, options?: RunOptions): Promise<string> {
  const { status, stdout, stderr } = await instance.qward(split(words), options);
  assert.equal(status, 0, `qward ${split(words).join(' ')}: ${stderr}${stdout}`);
  return stdout.trimEnd();
}

/** Runs the CLI, which must end with this status; gives its complaint, where `DIR` stands for the directory of images. */
export async function refused(
  instance: Instance,
  words: Words,
  { status: expected = 1, ...options }: RunOptions & { readonly status?: number } = {},
): Promise<string> {
  const { status, stdout, stderr } = await instance.qward(split(words), options);
  assert.equal(status, expected, `qward ${split(words).join(' ')}: ${stderr}${stdout}`);
  return stderr.trimEnd().replaceAll(instance.paths.images, 'DIR');
}

/** Defines, or defines anew, a machine that boots the demo guest. */
export async function defineDemo(
  instance: Instance,
  machine: Omit<DemoMachine, 'guest'> & Partial<Pick<DemoMachine, 'guest'>>,
): Promise<void> {
  await define(instance, demoMachine({ guest: instance.guest, ...machine }));
}

/** The same without a guest: firmware that finds nothing to boot. Starts fast, and idles. */
export async function defineBare(instance: Instance, name: string, ...more: string[]): Promise<void> {
  await define(instance, bareMachine(name, ...more));
}

export function bareMachine(name: string, ...more: string[]): string {
  return [`name: ${name}`, 'accel: tcg', 'memory: 32MiB', ...more, ''].join('\n');
}

export async function define(instance: Instance, source: string): Promise<void> {
  await done(instance, 'define --replace -', { stdin: source });
}

/** `disks:` with one disk. */
export function disk(path: string, format: 'qcow2' | 'raw' = 'qcow2', ...more: string[]): string {
  return ['disks:', '  - id: root', `    path: ${path}`, `    format: ${format}`, ...more].join('\n');
}

export async function statusOf(instance: Instance, machine: string): Promise<CallResult<'status'>> {
  const { stdout, stderr } = await instance.qward(['status', '--json', machine]);
  assert.notEqual(stdout, '', stderr);
  return JSON.parse(stdout) as CallResult<'status'>;
}

const consoleLimitMs = 90_000;

/** Watches the console until it has shown this (default: the guest is up); gives all that it has shown. */
export async function consoleShows(
  instance: Instance,
  machine: string,
  wanted: string | RegExp = readyLine,
  { replay = true }: { readonly replay?: boolean } = {},
): Promise<string> {
  const reply = await instance.client.console({ name: machine, mode: 'watch', replay });
  assert.ok(reply.ok, JSON.stringify(reply));
  const timer = setTimeout(() => reply.result.close(), consoleLimitMs);
  let text = '';
  try {
    for await (const message of reply.result) {
      if (message.kind === 'output') text += Buffer.from(message.bytes).toString('latin1');
      if (typeof wanted === 'string' ? text.includes(wanted) : wanted.test(text)) return text;
    }
  } finally {
    clearTimeout(timer);
    reply.result.close();
  }
  throw new Error(`the console of ${machine} has not shown ${String(wanted)}:\n${text}`);
}

/** What of a machine is on the host: files, mounts, cgroups, processes of its uid. */
export function remains(instance: Instance, machine: string): string[] {
  const ofMachine = new RegExp(`/${machine}(?:\\.json)?(?: |$)`);
  return [
    ...traces(instance).filter((trace) => ofMachine.test(trace)),
    ...processesOf(instance, machine).map((pid) => `process ${pid}`),
  ];
}

/** Waits until nothing of a machine is left: for what is cleared away later, of which no event tells. */
export async function untilGone(instance: Instance, machine: string, limitMs = 15_000): Promise<void> {
  const giveUpAt = performance.now() + limitMs;
  for (let left = remains(instance, machine); left.length > 0; left = remains(instance, machine)) {
    if (performance.now() > giveUpAt) assert.deepEqual(left, []);
    await delay(20);
  }
}

/** Processes of the machine's uid; none where it has no uid yet. */
export function processesOf(instance: Instance, machine: string): number[] {
  const uid = slots(instance)[machine];
  return uid === undefined ? [] : processesOfUids(uid, 1);
}

function slots(instance: Instance): Readonly<Record<string, number>> {
  try {
    const text = readFileSync(`${instance.paths.brokerState}/slots.json`, 'utf8');
    return (JSON.parse(text) as { readonly slots: Record<string, number> }).slots;
  } catch {
    return {};
  }
}

/** Resolves with the first event that is wanted. The stream is open when this returns. */
export async function nextEvent(
  instance: Instance,
  isWanted: (event: { readonly event: string; readonly machine: string | null }) => boolean,
  timeoutMs = 60_000,
): Promise<{ readonly arrived: Promise<void> }> {
  const reply = await instance.client.events();
  assert.ok(reply.ok, JSON.stringify(reply));
  const stream = reply.result;
  const arrive = async (): Promise<void> => {
    const timer = setTimeout(() => stream.close(), timeoutMs);
    try {
      for await (const event of stream) if (isWanted(event)) return;
    } finally {
      clearTimeout(timer);
      stream.close();
    }
    throw new Error(`the event did not come within ${timeoutMs} ms`);
  };
  return { arrived: arrive() };
}
