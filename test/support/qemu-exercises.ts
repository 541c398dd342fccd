/** What the tests of the filter have a running QEMU do, each over its monitor alone. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { descriptorOf } from '../../src/linux/peer-credentials.ts';
import type { RawMonitor } from './raw-monitor.ts';

/** Resolves once the socket has said all of the texts, in any order. */
export async function readUntil(socket: Socket, ...texts: readonly string[]): Promise<void> {
  let output = '';
  const signal = AbortSignal.timeout(120_000);
  while (!texts.every((text) => output.includes(text))) {
    const [chunk] = (await once(socket, 'data', { signal })) as [Buffer];
    output += chunk.toString('latin1');
  }
}

/** Both ends of a Unix socket connection; the caller destroys them. */
export async function socketPair(directory: string): Promise<readonly [Socket, Socket]> {
  const server = createServer().listen(join(directory, 'pair'));
  await once(server, 'listening');
  const near = connect(join(directory, 'pair'));
  const [far] = (await once(server, 'connection')) as [Socket];
  server.close();
  far.pause();
  return [near, far];
}

/** A whole RFB handshake and one screen (RFC 6143, section 7) over a connection that the monitor hands to QEMU. */
export async function watchByVnc(monitor: RawMonitor, directory: string): Promise<void> {
  const [near, far] = await socketPair(directory);
  await monitor.execute('getfd', { fdname: 'viewer' }, descriptorOf(far));
  far.destroy();
  const answered = async (bytes: Buffer | string): Promise<Buffer> => {
    const answer = once(near, 'data', { signal: AbortSignal.timeout(20_000) });
    near.write(bytes);
    return ((await answer) as [Buffer])[0];
  };
  const greeted = readUntil(near, 'RFB 003.008\n');
  await monitor.execute('add_client', { protocol: 'vnc', fdname: 'viewer', skipauth: true });
  await greeted;
  assert.deepEqual([...(await answered('RFB 003.008\n'))], [1, 1]);
  assert.deepEqual([...(await answered(Buffer.from([1])))], [0, 0, 0, 0]);
  const server = await answered(Buffer.from([1]));
  assert.ok(server.readUInt16BE(0) > 0, 'a screen with a width');
  // FramebufferUpdateRequest of the whole screen, and a key.
  assert.equal((await answered(Buffer.from([3, 0, 0, 0, 0, 0, 2, 0, 1, 0])))[0], 0);
  near.write(Buffer.from([4, 1, 0, 0, 0, 0, 0, 0x61]));
  near.destroy();
}

async function untilJob(monitor: RawMonitor, id: string, status: string): Promise<void> {
  for (;;) {
    const jobs = (await monitor.execute('query-jobs')) as { id: string; status: string; error?: string }[];
    const job = jobs.find((each) => each.id === id);
    assert.equal(job?.error, undefined, id);
    if (job?.status === status) return;
    await delay(10);
  }
}

/** Runs the job, completes it where it waits for that, and takes it off the list. */
export async function runJob(
  monitor: RawMonitor,
  command: string,
  args: object,
  ready = false,
): Promise<void> {
  const id = 'job';
  await monitor.execute(command, { 'job-id': id, ...args });
  if (ready) {
    await untilJob(monitor, id, 'ready');
    await monitor.execute('job-complete', { id });
  }
  await untilJob(monitor, id, 'concluded');
  await monitor.execute('job-dismiss', { id });
}

/** Saves the machine's state into the file by descriptor. */
export async function saveState(monitor: RawMonitor, path: string): Promise<void> {
  await monitor.execute('stop');
  writeFileSync(path, '');
  await passFile(monitor, path);
  await monitor.execute('migrate-set-capabilities', {
    capabilities: [{ capability: 'events', state: true }],
  });
  await monitor.execute('migrate', { uri: 'fd:state' });
  await untilMigrated(monitor);
  assert.ok(readFileSync(path).length > 100_000);
}

export async function loadState(monitor: RawMonitor, path: string): Promise<void> {
  await passFile(monitor, path);
  await monitor.execute('migrate-incoming', { uri: 'fd:state' });
  await untilMigrated(monitor);
}

/** Sends the state to a peer that takes nothing, and gives up. */
export async function cancelMigration(monitor: RawMonitor, directory: string): Promise<void> {
  const [near, far] = await socketPair(directory);
  near.pause();
  await monitor.execute('getfd', { fdname: 'peer' }, descriptorOf(far));
  far.destroy();
  await monitor.execute('migrate', { uri: 'fd:peer' });
  await monitor.execute('migrate_cancel');
  for (let status = ''; status !== 'cancelled'; await delay(10))
    ({ status } = (await monitor.execute('query-migrate')) as { status: string });
  near.destroy();
}

async function passFile(monitor: RawMonitor, path: string): Promise<void> {
  const state = openSync(path, 'r+');
  await monitor.execute('getfd', { fdname: 'state' }, state);
  closeSync(state);
}

async function untilMigrated(monitor: RawMonitor): Promise<void> {
  for (let status = ''; status !== 'completed'; await delay(10)) {
    ({ status = '' } = (await monitor.execute('query-migrate')) as { status?: string });
    assert.notEqual(status, 'failed');
  }
}
