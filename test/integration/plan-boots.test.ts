/** The command lines of launch plans, run by the QEMU of this host without a jail: they boot, and hold what they promise. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { parseDefinition } from '../../src/definition/parse.ts';
import type { LaunchPlan } from '../../src/plan/launch-plan.ts';
import { planLaunch } from '../../src/plan/plan-launch.ts';
import { writeQcow2 } from '../../src/plan/qcow2-image.ts';
import { QmpSession } from '../../src/qmp/session.ts';
import { startBareQemu } from '../support/bare-qemu.ts';
import { buildDemoGuest, readyLine } from '../support/demo-guest.ts';
import { localFacts } from '../support/local-facts.ts';
import { connectWhenListening } from '../support/raw-monitor.ts';

const startMs = 20_000;
const bootMs = 60_000;

interface Started {
  readonly plan: LaunchPlan;
  readonly pid: number;
  readonly execute: (command: string, args?: Record<string, string | number>) => Promise<unknown>;
  readonly console: Socket;
}

/** A directory with images of every kind, and the guest's kernel. */
function makeFiles(t: TestContext): { directory: string; boot: string } {
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

async function start(t: TestContext, directory: string, yaml: string): Promise<Started> {
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
async function consoleUntil(console: Socket, last: string): Promise<string> {
  let text = '';
  const expired = AbortSignal.timeout(bootMs);
  expired.addEventListener('abort', () => console.destroy(new Error(`no "${last}" in:\n${text}`)));
  for await (const piece of console.iterator({ destroyOnReturn: false })) {
    text += String(piece);
    if (text.includes(last)) return text;
  }
  throw new Error(`the console ended before "${last}":\n${text}`);
}

async function boot(started: Started): Promise<string> {
  const said = consoleUntil(started.console, readyLine);
  await started.execute('cont');
  return await said;
}

function holdsLimits({ plan, pid }: Started): void {
  const { limits } = plan.launch;
  const count = (what: string): number => readdirSync(`/proc/${pid}/${what}`).length;
  assert.ok(count('task') <= limits.pids, `${count('task')} threads, ${limits.pids} planned`);
  assert.ok(count('fd') <= limits.openFiles, `${count('fd')} descriptors, ${limits.openFiles} planned`);
  const rss = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
  assert.ok(rss < limits.memory, `${rss} bytes resident, ${limits.memory} planned`);
}

const hmp = async (started: Started, line: string): Promise<string> =>
  String(await started.execute('human-monitor-command', { 'command-line': line }));

test('q35 with every kind of drive boots, and nested virtualisation is off', async (t) => {
  const { directory, boot: kernel } = makeFiles(t);
  const started = await start(
    t,
    directory,
    `name: full
accel: tcg
memory: 256MiB
${kernel}
disks:
  - {id: root, path: ${directory}/plain.qcow2, format: qcow2, limits: {iops: 500, bps: 50MiB}}
  - id: chain
    path: ${directory}/over.qcow2
    format: qcow2
    bus: sata
    backing: [{path: ${directory}/base.qcow2, format: qcow2}]
  - {id: flat, path: ${directory}/flat.raw, format: raw, bus: scsi, readonly: true}
cdroms: [{id: empty}]
agent: true`,
  );
  const said = await boot(started);
  assert.match(said, /disk vda, 64 MiB/);
  assert.match(said, /disk sd[ab], 32 MiB/);
  const [cpu] = (await started.execute('query-cpus-fast')) as { 'qom-path': string }[];
  for (const property of ['svm', 'vmx'])
    assert.equal(await started.execute('qom-get', { path: cpu?.['qom-path'] ?? '', property }), false);
  assert.doesNotMatch(await hmp(started, 'info qtree'), /dev: (isa-fdc|i8042|.*vga|isa-parallel|hpet)/i);
  holdsLimits(started);
});

test('pc boots from IDE, and no guest reaches its floppy controller', async (t) => {
  const { directory, boot: kernel } = makeFiles(t);
  const started = await start(
    t,
    directory,
    `name: old
machine: pc
accel: tcg
memory: 256MiB
${kernel}
disks: [{id: c, path: ${directory}/flat.raw, format: raw, bus: ide}]
cdroms: [{id: empty}]`,
  );
  assert.match(await boot(started), /disk sda, 32 MiB/);
  // The main status register: 0x80 where there is a controller, all ones where nothing answers.
  for (const port of ['0x3f2', '0x3f4', '0x3f5', '0x3f7'])
    assert.match(await hmp(started, `i /b ${port}`), /= 0xff/, port);
  holdsLimits(started);
});

test('UEFI boots with its variable store, NVMe and a screen', async (t) => {
  const { directory, boot: kernel } = makeFiles(t);
  writeFileSync(join(directory, 'uefi.qcow2'), writeQcow2(readFileSync('/usr/share/OVMF/OVMF_VARS_4M.fd')));
  const started = await start(
    t,
    directory,
    `name: uefi
firmware: uefi
accel: tcg
vnc: true
memory: 256MiB
${kernel}
disks:
  - {id: root, path: ${directory}/plain.qcow2, format: qcow2, bus: nvme}
  - {id: flat, path: ${directory}/flat.raw, format: raw, cache: writethrough, shared: true}`,
  );
  const said = await boot(started);
  assert.match(said, /disk nvme0n1, 64 MiB/);
  assert.match(said, /disk vda, 32 MiB/);
  assert.match(await hmp(started, 'info qtree'), /dev: bochs-display/);
  holdsLimits(started);
});

test('microvm reaches its kernel', async (t) => {
  const { directory, boot: kernel } = makeFiles(t);
  const started = await start(
    t,
    directory,
    `name: micro
machine: microvm
accel: tcg
memory: 256MiB
${kernel.replace(' quiet', '')}
disks: [{id: root, path: ${directory}/plain.qcow2, format: qcow2}]
agent: true`,
  );
  const said = consoleUntil(started.console, 'Linux version');
  await started.execute('cont');
  await said;
  holdsLimits(started);
});
