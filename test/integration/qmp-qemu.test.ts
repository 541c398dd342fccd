/** QMP sessions with the QEMU of this host. The guest never runs: `-S`, TCG. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type Socket, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { commands } from '../../src/qmp/commands.ts';
import type { QmpEvent } from '../../src/qmp/events.ts';
import { QmpSession } from '../../src/qmp/session.ts';

const timeoutMs = 20_000;

/** QEMU connects to a socket of ours, so that nothing has to wait for it to listen. */
async function openQemu(
  t: TestContext,
  args: readonly (readonly [string, string])[],
): Promise<{ session: QmpSession; qemu: ChildProcess }> {
  const directory = await mkdtemp(join(tmpdir(), 'qward-qmp-'));
  const server = createServer().listen(join(directory, 'qmp'));
  await once(server, 'listening');
  const monitor = ['-chardev', `socket,id=qmp,path=${directory}/qmp`, '-mon', 'chardev=qmp,mode=control'];
  const common = ['-nodefaults', '-display', 'none', '-S', ...monitor];
  const qemu = spawn('qemu-system-x86_64', [...common, ...args.flat()], { stdio: 'inherit' });
  const gone = once(qemu, 'exit');
  t.after(async () => {
    qemu.kill('SIGKILL');
    await gone;
    server.close();
    await rm(directory, { recursive: true });
  });
  const [socket] = (await once(server, 'connection', { signal: AbortSignal.timeout(timeoutMs) })) as [Socket];
  const opened = await QmpSession.open(socket, { greetingTimeoutMs: timeoutMs });
  assert.ok(opened.ok, JSON.stringify(opened));
  t.after(() => opened.session[Symbol.asyncDispose]());
  return { session: opened.session, qemu };
}

async function valueOf<Value>(
  answer: Promise<
    { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly message: string }
  >,
): Promise<Value> {
  const result = await answer;
  assert.ok(result.ok, JSON.stringify(result));
  return result.value;
}

async function eventsOf(session: QmpSession): Promise<readonly QmpEvent[]> {
  const seen: QmpEvent[] = [];
  for await (const { event } of session.events) seen.push(event);
  return seen;
}

test('greeting, commands, events and quit', async (t) => {
  const { session, qemu } = await openQemu(t, [['-machine', 'none']]);
  const events = eventsOf(session);
  assert.ok(session.version.major >= 7);
  const before = await valueOf(commands.queryStatus(session));
  assert.deepEqual(before, { status: 'prelaunch', running: false });
  await valueOf(commands.cont(session));
  assert.equal((await valueOf(commands.queryStatus(session))).running, true);
  await valueOf(commands.stop(session));
  await valueOf(commands.systemReset(session));
  await valueOf(commands.systemPowerdown(session));
  assert.deepEqual(await valueOf(commands.queryFdsets(session)), []);
  assert.match(await valueOf(commands.humanMonitor(session, { line: 'info status' })), /paused/);
  const refused = await commands.removeFd(session, { set: 9 });
  assert.ok(!refused.ok);
  assert.equal(refused.code, 'qmp-error');
  assert.equal(refused.class, 'GenericError');
  const unknown = await session.execute('no-such-command', { deep: [{}] }, { timeoutMs });
  assert.equal(unknown.ok || unknown.class, 'CommandNotFound');
  const quit = await commands.quit(session);
  assert.ok(quit.ok || quit.code === 'session-ended');
  assert.equal((await session.ended).code, 'peer-closed');
  if (qemu.exitCode === null) await once(qemu, 'exit');
  assert.equal(qemu.exitCode, 0);
  const names = (await events).map((event): string => event.name);
  for (const name of ['RESUME', 'STOP', 'POWERDOWN', 'SHUTDOWN'])
    assert.ok(names.includes(name), names.join());
  assert.deepEqual((await events).at(-1), { name: 'SHUTDOWN', guest: false, reason: 'host-qmp-quit' });
});

test('many commands in one write are all answered', async (t) => {
  const { session } = await openQemu(t, [['-machine', 'none']]);
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, index) =>
      index % 4 === 0 ? commands.removeFd(session, { set: index }) : commands.queryStatus(session),
    ),
  );
  assert.deepEqual(
    answers.map((answer) => answer.ok),
    Array.from({ length: 40 }, (_, index) => index % 4 !== 0),
  );
});

test('what QEMU cannot read is refused here and the session goes on', async (t) => {
  const { session } = await openQemu(t, [['-machine', 'none']]);
  for (const line of ['\ud800', '\ufdd0', 'a\0b']) {
    const result = await commands.humanMonitor(session, { line });
    assert.equal(result.ok || result.code, 'refused');
  }
  const odd = await valueOf(commands.humanMonitor(session, { line: 'ä😀"\\,\n\u001b' }));
  assert.match(odd, /unknown command/);
  assert.equal(session.endReason, undefined);
});

test('disks, limits, network cards and memory of a machine', async (t) => {
  const { session } = await openQemu(t, [
    ['-machine', 'q35,accel=tcg'],
    ['-m', '64'],
    ['-smp', '2'],
    ['-object', 'throttle-group,id=limits'],
    ['-blockdev', '{"driver":"null-co","node-name":"file","size":1048576}'],
    ['-blockdev', '{"driver":"throttle","node-name":"root","file":"file","throttle-group":"limits"}'],
    ['-device', 'virtio-blk-pci,drive=root,id=disk0'],
    ['-device', 'virtio-balloon-pci'],
    ['-netdev', 'hubport,id=net0,hubid=0'],
    ['-device', 'virtio-net-pci,netdev=net0,id=nic0,romfile='],
  ]);
  assert.equal(await valueOf(commands.queryVcpuCount(session)), 2);
  assert.deepEqual([...(await valueOf(commands.queryBlockNodeNames(session)))].sort(), ['file', 'root']);
  const [drive] = await valueOf(commands.queryBlock(session));
  assert.ok(drive !== undefined);
  assert.equal(drive.nodeName, 'root');
  assert.equal(drive.readonly, false);
  await valueOf(commands.setIoLimits(session, { id: drive.device, bps: 1_000_000, iops: 0 }));
  await valueOf(commands.setGroupIoLimits(session, { group: 'limits', bps: 0, iops: 500 }));
  const limits = { path: '/objects/limits', property: 'limits' };
  const set = await valueOf(session.execute('qom-get', limits, { timeoutMs }));
  assert.equal((set as Record<string, unknown>)['iops-total'], 500);
  await valueOf(commands.setLink(session, { id: 'nic0', up: false }));
  await valueOf(commands.setLink(session, { id: 'nic0', up: true }));
  await valueOf(commands.balloon(session, { bytes: 32 * 1024 * 1024 }));
});

test('a QEMU that is killed ends the session', async (t) => {
  const { session, qemu } = await openQemu(t, [['-machine', 'none']]);
  qemu.kill('SIGKILL');
  assert.match((await session.ended).code, /^(peer-closed|transport-failed)$/);
  const after = await commands.queryStatus(session);
  assert.equal(after.ok || after.code, 'session-ended');
});
