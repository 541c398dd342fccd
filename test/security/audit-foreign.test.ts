/**
 * Promise 5: the audit says of any QEMU of the host which walls it lacks. Here of one that root starts by hand, and of
 * one that libvirt starts.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { auditForeign } from '../../src/audit/audit-process.ts';
import type { AuditReport } from '../../src/audit/report.ts';
import { findCgroupMounts, removeCgroup } from '../../src/jail/cgroups.ts';
import { readProcessFacts } from '../../src/linux/process-facts.ts';
import type { WallName } from '../../src/plan/launch-plan.ts';
import { startInstance } from '../support/instance.ts';

const deadlineMs = 30_000;

function auditPid(pid: number): AuditReport {
  const outcome = readProcessFacts(pid, { sharers: true });
  if (!outcome.ok) assert.fail(outcome.reason);
  return auditForeign({ facts: outcome.facts, at: new Date().toISOString() });
}

const foundAt = (report: AuditReport, wall: WallName): string => {
  const row = report.rows.find((one) => one.wall === wall);
  return row?.verdict === 'differs' ? row.found : `(${row?.verdict})`;
};

const lacking = (report: AuditReport): Set<WallName> =>
  new Set(report.rows.flatMap(({ wall, verdict }) => (verdict === 'differs' ? [wall] : [])));

/** Until something answers at the socket, which no event tells. */
async function answers(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect', { signal: AbortSignal.timeout(deadlineMs) });
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function awaitSocket(path: string): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await answers(path))) {
    assert.ok(performance.now() < end, `nothing answers at ${path}`);
    await delay(20);
  }
}

/** A child that ends with the test, before what was registered earlier. */
function startChild(context: TestContext, command: string, args: readonly string[]): ChildProcess {
  const child = spawn(command, args, { stdio: 'ignore' });
  context.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    const ended = once(child, 'exit', { signal: AbortSignal.timeout(10_000) });
    await ended.catch(() => child.kill('SIGKILL'));
  });
  return child;
}

test('a QEMU that root starts by hand lacks every wall that a host can give', async (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'qward-foreign-'));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  const [monitor, secret] = [join(directory, 'qmp'), join(directory, 'secret')];
  writeFileSync(secret, 'x');
  const args = ['-S', '-machine', 'pc', '-accel', 'tcg,tb-size=32', '-m', '64', '-display', 'none'];
  const networked = [
    '-nic',
    'user,hostfwd=tcp:127.0.0.1:0-:22',
    '-qmp',
    `unix:${monitor},server=on,wait=off`,
  ];
  // The shell leaves QEMU a descriptor that no argument names.
  const command = `exec qemu-system-x86_64 "$@" 9< ${secret}`;
  const { pid } = startChild(context, 'sh', ['-c', command, 'sh', ...args, ...networked]);
  await awaitSocket(monitor);
  let report = auditPid(pid ?? assert.fail());
  // Its network comes after its monitor.
  for (let tries = 0; tries < 100 && !/not a Unix socket/.test(foundAt(report, 'descriptors')); tries++) {
    await delay(100);
    report = auditPid(pid ?? 0);
  }

  assert.equal(report.ok, false);
  assert.equal(report.machine, null);
  const missing = lacking(report);
  // What depends on the host and on who runs the test: groups of root, rlimits, the cgroup of the shell.
  for (const wall of ['groups', 'cgroup', 'rlimits', 'lsm', 'device-cgroup'] as const) missing.delete(wall);
  assert.deepEqual([...missing].sort(), [
    'capabilities',
    'cgroup-namespace',
    'descriptors',
    'dev',
    'guest-devices',
    'ipc-namespace',
    'mount-namespace',
    'network-namespace',
    'no-new-privileges',
    'pid-namespace',
    'root',
    'seccomp',
    'uid',
    'uts-namespace',
  ]);
  assert.match(foundAt(report, 'uid'), /uid 0 0 0 0/);
  assert.match(foundAt(report, 'root'), /the host's own root directory/);
  assert.match(foundAt(report, 'descriptors'), new RegExp(`9: ${secret}`));
  assert.match(foundAt(report, 'descriptors'), /not a Unix socket/);
  assert.match(foundAt(report, 'guest-devices'), /no -sandbox; user network in the process/);

  const byCommand = await auditByCommand(pid ?? 0);
  const never = new Set<WallName>(['groups', 'cgroup', 'rlimits', 'lsm', 'device-cgroup']);
  assert.deepEqual([...lacking(byCommand)].filter((wall) => !never.has(wall)).sort(), [...missing].sort());
});

/** The broker looks: it needs no plan and no machine of ours. */
async function auditByCommand(pid: number): Promise<AuditReport> {
  await using instance = await startInstance();
  const told = await instance.qward(['audit', '--pid', String(pid), '--json']);
  assert.equal(told.status, 1, told.stderr);
  return JSON.parse(told.stdout) as AuditReport;
}

const exposed = (report: AuditReport, subject: string): string =>
  report.exposure.find((row) => row.subject === subject)?.found ?? '';

const domain = `qward-audit-${process.pid}`;
/** libvirt removes the cgroup of a domain that it ends, not the one above it. */
function removeCgroups(before: ReadonlySet<string>): void {
  const mounts = findCgroupMounts();
  for (const { path } of mounts.mounts) {
    const machines = `${path}/machine`;
    if (!existsSync(machines)) continue;
    for (const name of readdirSync(machines))
      if (name.includes(domain.slice(0, 20))) removeCgroup(mounts, `/machine/${name}`);
    if (before.has(machines)) continue;
    try {
      rmdirSync(machines);
    } catch {
      // Not empty: another libvirt has begun to use it.
    }
  }
}

/** QEMU's number among the host's processes: it runs in a process namespace of the test's. */
function pidOfDomain(): number {
  const found = readdirSync('/proc').find((entry) => {
    try {
      const words = /^\d+$/.test(entry) ? readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0') : [];
      return words.some((word) => word.startsWith(`guest=${domain},`));
    } catch {
      return false;
    }
  });
  return Number(found ?? assert.fail('no QEMU of libvirt'));
}

/** By the function and by the command. */
async function auditLibvirt(context: TestContext): Promise<readonly [AuditReport, AuditReport]> {
  const before = new Set(
    findCgroupMounts()
      .mounts.map(({ path }) => `${path}/machine`)
      .filter((path) => existsSync(path)),
  );
  context.after(() => removeCgroups(before));
  const inside = join(import.meta.dirname, 'audit-libvirt-inside.ts');
  const own = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  // The first process of the namespace must reap: libvirt waits until a QEMU that it killed is gone from /proc.
  const reaping = ['sh', '-c', 'exec 3<&0; "$@" <&3 3<&- & wait $!', 'sh'];
  const child = spawn(
    'unshare',
    [...own, ...reaping, process.execPath, '--disable-warning=ExperimentalWarning', inside, domain],
    { stdio: ['pipe', 'pipe', 'inherit'], timeout: 90_000, killSignal: 'SIGKILL' },
  );
  const closed = once(child, 'close') as Promise<[number | null]>;
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  assert.equal((await lines.next()).value, 'it runs');
  const told = await auditByCommand(pidOfDomain()).finally(() => child.stdin.end());
  const report = (await lines.next()).value;
  assert.equal((await closed)[0], 0, 'libvirt starts a domain');
  return [JSON.parse(report ?? '') as AuditReport, told];
}

// scripts/test installs it.
test("a QEMU that libvirt starts: what libvirt's confinement leaves open is found", async (context) => {
  context.diagnostic(execFileSync('/usr/sbin/libvirtd', ['--version'], { encoding: 'utf8' }).trim());
  const [report, byCommand] = await auditLibvirt(context);

  assert.equal(report.ok, false);
  const missing = lacking(report);
  // From the host's side it has a process namespace: the test's.
  const fromHost = new Set([...missing].filter((wall) => wall !== 'pid-namespace'));
  assert.deepEqual(lacking(byCommand), fromHost);
  assert.match(
    exposed(byCommand, 'QEMU'),
    /^\/usr\/bin\/qemu-system-x86_64, qemu-system-x86 1:\d\S+, of 20\d\d-\d\d-\d\d, \d+ \w+ old$/,
  );
  assert.match(
    exposed(byCommand, 'firmware'),
    /^\/usr\/share\/seabios\/bios-256k\.bin, seabios \d\S+, of 20\d\d-\d\d-\d\d, \d+ \w+ old$/,
  );
  // Some kernels do not say when they were built.
  assert.match(exposed(byCommand, 'kernel'), /^\d+\.[^\s,]+(?:, of 20\d\d-\d\d-\d\d, \d+ \w+ old)?$/);
  // What libvirt 9.0 gives: an account that is not root, a filter on every thread, a mount namespace.
  for (const wall of ['uid', 'no-new-privileges', 'seccomp', 'mount-namespace'] as const)
    assert.ok(!missing.has(wall), wall);
  for (const wall of [
    'capabilities',
    'root',
    'pid-namespace',
    'ipc-namespace',
    'uts-namespace',
    'cgroup-namespace',
    'network-namespace',
    'guest-devices',
  ] as const)
    assert.ok(missing.has(wall), wall);
  assert.match(foundAt(report, 'capabilities'), /^CapBnd: \d+ capabilities$/);
  assert.match(foundAt(report, 'root'), /the host's own root directory/);
  assert.match(foundAt(report, 'guest-devices'), /nested virtualisation is not switched off/);
});
