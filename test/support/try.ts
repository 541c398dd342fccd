/** The tour that scripts/try gives. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { demoMachine } from './demo-machine.ts';
import { buildDemoGuest, readyLine } from './demo-guest.ts';
import { startInstance, type Instance } from './instance.ts';
import { leftovers, takeInventory } from './leftovers.ts';
import { sweepAbandoned } from './sweep.ts';

const machine = 'demo';
const bootLimitMs = 120_000;

const isTerminal = process.stdout.isTTY;
const bold = (text: string): string => (isTerminal ? `\u001b[1m${text}\u001b[0m` : text);
const dim = (text: string): string => (isTerminal ? `\u001b[2m${text}\u001b[0m` : text);
const say = (text = ''): void => void process.stdout.write(`${text}\n`);
const indent = (text: string): string => text.trimEnd().replaceAll(/^(?=.)/gm, '    ');

/** Says what is being done, with the seconds where it takes more than one. */
async function during<Result>(what: string, work: Promise<Result>): Promise<Result> {
  const started = performance.now();
  const seconds = (): string => ((performance.now() - started) / 1000).toFixed(1);
  if (!isTerminal) say(`${what} …`);
  const ticker = isTerminal
    ? setInterval(() => process.stdout.write(`\r${what} … ${seconds()} s`), 200)
    : undefined;
  try {
    return await work;
  } finally {
    clearInterval(ticker);
    if (isTerminal) process.stdout.write('\r\u001b[K');
    say(dim(`${what}: ${seconds()} s`));
  }
}

interface Shown {
  /** Said with the seconds that it took. */
  readonly what?: string;
  /** What of the answer is shown; else all of it. */
  readonly part?: (output: string) => string;
}

/** Runs the CLI in the open: the line that a user would type, and what it answers. */
async function show(instance: Instance, args: readonly string[], { what, part }: Shown = {}): Promise<void> {
  say();
  say(bold(`$ qward ${args.join(' ')}`));
  const running = instance.qward(args, { timeoutMs: bootLimitMs });
  const { status, stdout, stderr } = await (what === undefined ? running : during(what, running));
  if (stdout !== '') say(indent(part?.(stdout) ?? stdout));
  if (stderr !== '') say(indent(stderr));
  if (status !== 0) throw new Error(`qward ${args.join(' ')} ended with status ${status}`);
}

/** The first line and the grants: the arguments and walls fill two more screens. */
function grantsOf(explanation: string): string {
  const paragraphs = explanation.split('\n\n');
  const grants = paragraphs.filter((paragraph) => paragraph.startsWith('Grants'));
  return [paragraphs[0]?.split('\n')[0], ...grants, '(and every argument, limit and wall)'].join('\n\n');
}

/** Firmware and shell write escape sequences, which would clear the reader's screen. */
const plain = (text: string): string => text.replaceAll(/\u001b(?:\[[0-9;?]*[A-Za-z]|.)|\r/g, '');

/** The serial console until the guest is up. */
async function consoleUntilReady(instance: Instance): Promise<string> {
  const deadline = performance.now() + bootLimitMs;
  for (;;) {
    const reply = await instance.client.call('consoleOutput', { name: machine });
    if (!reply.ok) throw new Error(reply.faults.map(({ message }) => message).join('; '));
    const text = Buffer.from(reply.result.output, 'base64').toString('latin1');
    if (text.includes(readyLine)) return text.slice(0, text.indexOf(readyLine) + readyLine.length);
    if (performance.now() > deadline)
      throw new Error(`the guest is not up after ${bootLimitMs / 1000} s:\n${text}`);
    await delay(100);
  }
}

async function tour(instance: Instance): Promise<void> {
  const definition = demoMachine({
    name: machine,
    guest: instance.guest,
    disk: instance.disk(machine),
    memory: '128MiB',
    // As a user would have it: KVM where it is proved to work, else TCG.
    accel: 'auto',
  });
  const file = join(instance.directory, `${machine}.yaml`);
  writeFileSync(file, definition);
  say();
  say(bold(`$ cat ${machine}.yaml`));
  say(indent(definition));
  await show(instance, ['define', file]);
  await show(instance, ['explain', machine], { what: 'asking what a start will do', part: grantsOf });
  await show(instance, ['start', machine], { what: 'starting the machine in its jail' });
  say();
  say(bold(`$ qward console ${machine}`));
  say(indent(plain(await during('watching it boot', consoleUntilReady(instance)))));
  await show(instance, ['list']);
  await show(instance, ['audit', machine], { what: 'reading the live process' });
  await show(instance, ['stop', machine], { what: 'pressing the power button' });
  await show(instance, ['rm', machine]);
}

async function removed(starting: Promise<Instance>): Promise<void> {
  // An instance that could not be started has swept itself.
  const instance = await starting.catch(() => undefined);
  await instance?.[Symbol.asyncDispose]();
}

async function main(): Promise<number> {
  for (const directory of await sweepAbandoned()) say(dim(`swept ${directory}, left by an earlier run`));
  buildDemoGuest({ progress: (line) => say(dim(`demo guest: ${line}`)) });
  const before = takeInventory();
  const interrupted = new Promise<never>((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.once(signal, () => reject(new Error(`ended by ${signal}`)));
  });
  let status = 0;
  const starting = startInstance({ purpose: 'try' });
  try {
    const instance = await Promise.race([during('bringing up a private qward', starting), interrupted]);
    await Promise.race([tour(instance), interrupted]);
  } catch (error) {
    status = 1;
    say();
    say(`try: ${error instanceof Error ? error.message : String(error)}`);
  }
  await during('cleaning up', removed(starting));
  // The sweep has seen to the processes. Another instance that somebody started meanwhile is not ours.
  const left = leftovers(before).filter(
    (line) => line.includes('qward-try-') || /^(network link|\/etc)/.test(line),
  );
  for (const line of left) say(`left behind: ${line}`);
  if (status === 0 && left.length === 0)
    say(`\nNothing is left but .cache/ and node_modules/ of this checkout. README.md says how to go on.`);
  return left.length === 0 ? status : 1;
}

process.exitCode = await main();
