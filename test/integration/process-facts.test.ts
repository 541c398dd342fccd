/** The facts of live processes, also of those that end, hide or are not what they seem. Needs root. */
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { readProcessFacts } from '../../src/linux/process-facts.ts';
import type { ProcessFacts } from '../../src/protocol/broker.ts';
import { startJail } from '../security/audit-jail.ts';

const libc = join(import.meta.dirname, '../../src/linux/libc.ts');

function factsOf(pid: number | undefined, sharers = false): ProcessFacts {
  const outcome = readProcessFacts(pid ?? 0, { sharers });
  if (!outcome.ok) assert.fail(outcome.reason);
  return outcome.facts;
}

/** A child that ends with the test. Its first line of output says that it is ready. */
async function child(
  context: TestContext,
  command: string,
  args: readonly string[],
): Promise<[ChildProcess, string]> {
  const process = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  context.after(async () => {
    const ended = process.exitCode !== null || process.signalCode !== null;
    process.kill('SIGKILL');
    if (!ended) await once(process, 'exit', { signal: AbortSignal.timeout(10_000) });
  });
  const [line] = (await once(process.stdout, 'data', { signal: AbortSignal.timeout(20_000) })) as [Buffer];
  return [process, line.toString().trim()];
}

const nodeArgs = (script: string): string[] => [
  '--disable-warning=ExperimentalWarning',
  '--input-type=module',
  '-e',
  script,
];

test('a jailed QEMU shows its identity, threads, descriptors, sockets, mounts and limits', async () => {
  await using jail = await startJail();
  const { pid, startTime, uid, cgroup, launch, sockets } = jail.launched;
  const facts = factsOf(pid, true);
  assert.equal(facts.startTime, startTime);
  assert.equal(facts.exe, launch.binary);
  assert.deepEqual(facts.cmdline, [launch.binary, ...launch.argv]);
  assert.match(facts.status, new RegExp(`^Uid:\\t${uid}\\t`, 'm'));
  assert.deepEqual(facts.sharers, []);
  assert.ok(facts.threads.length > 1 && facts.threads.every(({ status }) => status.includes('Seccomp:\t2')));
  assert.ok(facts.cgroup.includes(`:${cgroup}\n`));
  assert.equal(facts.cgroupFiles['pids.max'], String(launch.limits.pids));
  assert.equal(facts.root.sameAsHost, false);
  assert.deepEqual([...facts.root.entries].sort(), ['dev', 'lib', 'lib64', 'proc', 'usr']);
  assert.deepEqual(
    facts.dev.find(({ name }) => name === 'null'),
    { name: 'null', type: 'char', major: 1, minor: 3, mode: 0o666, uid: 0 },
  );
  const image = launch.descriptors[0]?.kind === 'file' ? launch.descriptors[0].path : assert.fail();
  const modes = facts.descriptors.filter(({ target }) => target === image).map(({ flags }) => flags & 3);
  assert.deepEqual(
    [...new Set(modes)].sort((one, other) => one - other),
    [0, 2],
  );
  assert.deepEqual(
    facts.sockets
      .map(({ path, listening, namespace }) => ({ path, listening, namespace }))
      .sort((one) => (one.listening ? -1 : 1)),
    [true, false].map((listening) => ({ path: sockets.qmp, listening, namespace: 'host' })),
  );
  assert.match(facts.netDev, /^\s*lo:/m);
  assert.doesNotMatch(facts.netDev, /^\s*(?!lo)\w+:/m);
  assert.ok(facts.mappedFiles.includes(launch.binary));
  for (const name of ['mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup']) {
    const own = facts.namespaces[name] ?? assert.fail(name);
    assert.ok(facts.hostNamespaces[name]?.includes(own) === false, name);
  }
});

test('facts of this very process say that it shares everything with the host', () => {
  const facts = factsOf(process.pid);
  assert.equal(facts.root.sameAsHost, true);
  assert.equal(facts.sharers, null);
  assert.ok(facts.hostNamespaces['mnt']?.includes(facts.namespaces['mnt'] ?? ''));
  assert.equal(facts.kernel, readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim());
});

test('a process that has ended is gone, and so is one that is not there', () => {
  const { pid } = spawnSync('/bin/true');
  assert.deepEqual(readProcessFacts(pid), { ok: false, reason: 'gone' });
  for (const odd of [0, -1, 1.5, Number.NaN, 2 ** 40])
    assert.deepEqual(readProcessFacts(odd), { ok: false, reason: 'gone' });
});

test('a zombie is gone', async (context) => {
  // The shell becomes a sleep before its child ends, and a sleep never waits for a child that it does not know of.
  const [, pid] = await child(context, '/bin/sh', ['-c', 'sleep 0.3 & echo $!; exec sleep 60']);
  const end = performance.now() + 10_000;
  while (!/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')) && performance.now() < end)
    await delay(5);
  assert.deepEqual(readProcessFacts(Number(pid)), { ok: false, reason: 'gone' });
});

test('one that is ending, and has lost its memory already, is told of as it was or not at all', async (context) => {
  // Much memory takes long to be given back, before the process is a zombie.
  const fill = "const all = Buffer.alloc(2 ** 30, 1); console.log('ready'); setInterval(() => all, 1000)";
  for (let round = 0; round < 3; round += 1) {
    const [process] = await child(context, globalThis.process.execPath, nodeArgs(fill));
    process.kill('SIGKILL');
    for (;;) {
      const outcome = readProcessFacts(process.pid ?? 0);
      if (!outcome.ok) break;
      assert.notDeepEqual(outcome.facts.cmdline, []);
      assert.notEqual(outcome.facts.exe, '');
    }
  }
});

test('a process whose main thread ended to look like a zombie is seen through its other threads', async (context) => {
  const script = `
    const { syscall } = await import(${JSON.stringify(libc)});
    const { openSync, writeSync } = await import('node:fs');
    openSync('/etc/shadow', 'r');
    writeSync(1, 'ready\\n');
    syscall(60, [0]);`;
  const [{ pid }] = await child(context, process.execPath, nodeArgs(script));
  const end = performance.now() + 10_000;
  while (!/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8')) && performance.now() < end)
    await delay(5);
  const facts = factsOf(pid);
  assert.equal(facts.pid, pid);
  assert.ok(facts.threads.length > 1);
  assert.ok(facts.descriptors.some(({ target }) => target === '/etc/shadow'));
});

test('a link in place of /dev is not followed', async (context) => {
  const root = mkdtempSync(join(tmpdir(), 'qward-facts-'));
  context.after(() => rmSync(root, { recursive: true, force: true }));
  mkdirSync(join(root, 'bin'));
  cpSync('/bin/busybox', join(root, 'bin/busybox'));
  symlinkSync('/etc', join(root, 'dev'));
  const [{ pid }] = await child(context, 'chroot', [
    root,
    '/bin/busybox',
    'sh',
    '-c',
    'echo ready; exec /bin/busybox sleep 60',
  ]);
  const facts = factsOf(pid);
  assert.equal(facts.root.target, root);
  assert.deepEqual([...facts.root.entries].sort(), ['bin', 'dev']);
  assert.deepEqual(facts.dev, []);
});

test('a process with more descriptors than anybody needs is too large', async (context) => {
  const script = `
    const { openSync, writeSync } = await import('node:fs');
    for (let count = 0; count < 4200; count += 1) openSync('/dev/null', 'r');
    writeSync(1, 'ready\\n');
    setInterval(() => {}, 60_000);`;
  const [{ pid }] = await child(context, process.execPath, nodeArgs(script));
  assert.deepEqual(readProcessFacts(pid ?? 0), { ok: false, reason: 'too-large' });
});

test('another process with the same uid is named', async (context) => {
  const uid = 1_860_000_000 + process.pid;
  const start = () =>
    child(context, 'setpriv', [`--reuid=${uid}`, '--clear-groups', 'sh', '-c', 'echo ready; exec sleep 60']);
  const [[one], [other]] = await Promise.all([start(), start()]);
  assert.deepEqual(factsOf(one.pid, true).sharers, [other.pid]);
});
