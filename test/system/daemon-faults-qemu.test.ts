/** What becomes of a QEMU that is killed, stopped, or never stops talking. */
import assert from 'node:assert/strict';
import { appendFileSync, closeSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { exitStatus } from '../../src/cli/exit-status.ts';
import { processesOfUids } from '../../src/linux/process.ts';
import { traces } from '../support/broker.ts';
import { startInstance } from '../support/instance.ts';
import { defineAndStart, granted, killProcess, reach, start, statusOf } from '../support/small-machine.ts';

/** Release of the kernel from which on it tells how a process ended (PIDFD_INFO_EXIT). */
function kernelTellsSignals(): boolean {
  const [major = 0, minor = 0] = readFileSync('/proc/sys/kernel/osrelease', 'latin1').split('.').map(Number);
  return major > 6 || (major === 6 && minor >= 15);
}

test('kill -9 of QEMU: crashed, with the last words and the signal, nothing left, and it starts again', async () => {
  await using instance = await startInstance();
  const pid = await defineAndStart(instance, 'one');
  const other = await defineAndStart(instance, 'other');
  const { uid } = await statusOf(instance, 'one');
  const before = traces(instance);
  appendFileSync(`/proc/${pid}/fd/2`, 'qemu-system-x86_64: the last words\n');
  await killProcess(pid);
  const { lastEnd, pid: none } = await reach(instance, 'one', ['crashed']);
  assert.equal(none, null);
  assert.deepEqual(lastEnd?.log.at(-1), 'qemu-system-x86_64: the last words');
  if (kernelTellsSignals()) assert.equal(lastEnd.signal, 'SIGKILL');
  const status = await instance.qward(['status', 'one']);
  assert.notEqual(status.status, 0);
  assert.match(status.stdout, /crashed[^]*the last words/);
  assert.match(
    (await instance.qward(['logs', 'one'])).stdout,
    /the last words[^]*QEMU was ended by|ended by itself/,
  );
  assert.deepEqual(
    traces(instance),
    before.filter((path) => path.includes('other')),
  );
  assert.deepEqual(processesOfUids(uid ?? 0, 1), []);

  await start(instance, 'one');
  const again = await statusOf(instance, 'one');
  assert.equal(again.state, 'running');
  assert.equal(again.uid, uid, 'a machine keeps its uid');
  assert.equal((await statusOf(instance, 'other')).pid, other);
});

test('a QEMU that writes without end costs a bounded file, and nobody else anything', async () => {
  await using instance = await startInstance();
  const pid = await defineAndStart(instance, 'noisy');
  const piece = Buffer.from(`${'noise '.repeat(20)}\u001b[2J\n`.repeat(500));
  const fd = openSync(`/proc/${pid}/fd/2`, 'a');
  let refused = '';
  try {
    for (let written = 0; written < 16 * 1024 * 1024; written += piece.length) writeSync(fd, piece);
  } catch (error) {
    refused = error instanceof Error ? String(Reflect.get(error, 'code')) : '';
  } finally {
    closeSync(fd);
  }
  assert.equal(refused, 'ENOSPC');
  const logs = await instance.qward(['logs', 'noisy']);
  assert.equal(logs.status, 0);
  assert.match(logs.stdout, /noise noise/);
  assert.ok(!logs.stdout.includes('\u001b'), 'what QEMU says is escaped');
  assert.ok(statSync(`${instance.paths.machines}/noisy/log`).size <= 256 * 1024);
  for (const kept of ['', '.1'])
    assert.ok(sizeOf(`${instance.paths.managerState}/logs/noisy.log${kept}`) <= 512 * 1024);
  assert.equal((await statusOf(instance, 'noisy')).state, 'running');
  granted(await instance.client.call('kill', { name: 'noisy' }));
  await start(instance, 'noisy');
});

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

test('a QEMU that is stopped is unreachable, comes back, and can be killed', async () => {
  await using instance = await startInstance();
  const pid = await defineAndStart(instance, 'one');
  process.kill(pid, 'SIGSTOP');
  await reach(instance, 'one', ['unreachable']);
  assert.equal((await instance.qward(['status', 'one'])).status, exitStatus.machineUnreachable);
  process.kill(pid, 'SIGCONT');
  assert.equal((await reach(instance, 'one', ['running'])).pid, pid);

  process.kill(pid, 'SIGSTOP');
  const killed = await instance.qward(['kill', 'one']);
  assert.equal(killed.status, 0, killed.stderr);
  assert.deepEqual((await statusOf(instance, 'one')).lastEnd?.how, 'killed');
  assert.deepEqual(traces(instance), []);

  // Killed by somebody else while it hung.
  process.kill(await start(instance, 'one'), 'SIGSTOP');
  const { pid: hung } = await statusOf(instance, 'one');
  await killProcess(hung ?? 0);
  await reach(instance, 'one', ['crashed']);
  assert.deepEqual(traces(instance), []);
});
