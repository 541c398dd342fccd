/** Starts QEMU of this host from a definition, without a jail, and boots the demo guest in it: for tests of plans. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { parseDefinition } from '../../src/definition/parse.ts';
import type { LaunchPlan } from '../../src/plan/launch-plan.ts';
import { planLaunch } from '../../src/plan/plan-launch.ts';
import { QmpSession } from '../../src/qmp/session.ts';
import { startBareQemu } from './bare-qemu.ts';
import { buildDemoGuest, readyLine } from './demo-guest.ts';
import { localFacts } from './local-facts.ts';
import { connectWhenListening } from './raw-monitor.ts';

const startMs = 20_000;
const bootMs = 60_000;

export interface Started {
  readonly plan: LaunchPlan;
  readonly pid: number;
  readonly execute: (command: string, args?: Record<string, string | number>) => Promise<unknown>;
  readonly console: Socket;
}

/** A directory with images of every kind, and the guest's kernel. */
export function makeFiles(t: TestContext): { directory: string; boot: string } {
  const directory = mkdtempSync(join(tmpdir(), 'qward-plan-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const create = (...args: string[]): void =>
    void execFileSync('qemu-img', ['create', '-q', ...args], { cwd: directory, timeout: 20_000 });
  create('-f', 'qcow2', 'base.qcow2', '48M');
  create('-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', 'over.qcow2');
  create('-f', 'qcow2', 'plain.qcow2', '64M');
  create('-f', 'raw', 'flat.raw', '32M');
  const guest = buildDemoGuest();
  return {
    directory,
    boot: `boot: {kernel: ${guest.kernel}, initrd: ${guest.initrd}, cmdline: '${guest.cmdline}'}`,
  };
}

export async function start(t: TestContext, directory: string, yaml: string): Promise<Started> {
  const parsed = parseDefinition(yaml);
  assert.ok(parsed.ok, JSON.stringify(parsed));
  const outcome = planLaunch(parsed.definition, localFacts(parsed.definition, directory));
  assert.ok(outcome.ok, JSON.stringify(outcome));
  const qemu = startBareQemu(outcome.plan.launch, directory);
  const gone = once(qemu.child, 'exit');
  t.after(async () => {
    qemu.child.kill('SIGKILL');
    await gone;
  });
  const { qmp = '', console: consolePath = '' } = qemu.sockets;
  const opened = await QmpSession.open(await connectWhenListening(qmp, startMs), {
    greetingTimeoutMs: startMs,
  });
  assert.ok(opened.ok, `${JSON.stringify(opened)}\n${readFileSync(qemu.log, 'utf8')}`);
  t.after(() => opened.session[Symbol.asyncDispose]());
  const console = await connectWhenListening(consolePath, startMs);
  t.after(() => console.destroy());
  const execute: Started['execute'] = async (command, args) => {
    const result = await opened.session.execute(command, args, { timeoutMs: startMs });
    assert.ok(result.ok, JSON.stringify(result));
    return result.value;
  };
  return { plan: outcome.plan, pid: qemu.child.pid ?? 0, execute, console };
}

/** What the guest says until a line holds `last`. */
export async function consoleUntil(console: Socket, last: string): Promise<string> {
  let text = '';
  const expired = AbortSignal.timeout(bootMs);
  expired.addEventListener('abort', () => console.destroy(new Error(`no "${last}" in:\n${text}`)));
  for await (const piece of console.iterator({ destroyOnReturn: false })) {
    text += String(piece);
    if (text.includes(last)) return text;
  }
  throw new Error(`the console ended before "${last}":\n${text}`);
}

export async function boot(started: Started): Promise<string> {
  const said = consoleUntil(started.console, readyLine);
  await started.execute('cont');
  return await said;
}

export function holdsLimits({ plan, pid }: Started): void {
  const { limits } = plan.launch;
  const count = (what: string): number => readdirSync(`/proc/${pid}/${what}`).length;
  assert.ok(count('task') <= limits.pids, `${count('task')} threads, ${limits.pids} planned`);
  assert.ok(count('fd') <= limits.openFiles, `${count('fd')} descriptors, ${limits.openFiles} planned`);
  const rss = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
  assert.ok(rss < limits.memory, `${rss} bytes resident, ${limits.memory} planned`);
}

export const hmp = async (started: Started, line: string): Promise<string> =>
  String(await started.execute('human-monitor-command', { 'command-line': line }));

/** What the guest's shell answers to a line, with plain line ends. */
export async function ask(started: Started, line: string): Promise<string> {
  // Split, so that the echo of the line has neither of the marks.
  const said = consoleUntil(started.console, 'answer ends');
  started.console.write(`echo an''swer begins; ${line}; echo an''swer ends\n`);
  const text = (await said).replaceAll('\r', '');
  return text.slice(text.lastIndexOf('answer begins\n') + 14, text.lastIndexOf('answer ends'));
}
