/** QEMU at work under the filter of its jail and its own four denials: everything that a machine's life asks of it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { machineSchema } from '../../src/definition/schema.ts';
import { gatherHost } from '../../src/manager/facts/host.ts';
import { ensureKvmProbeImage, probeMagic } from '../../src/manager/facts/kvm-probe-image.ts';
import { defaultQemu, gatherQemu } from '../../src/manager/facts/qemu-facts.ts';
import { descriptorOf } from '../../src/linux/peer-credentials.ts';
import { planLaunch } from '../../src/plan/plan-launch.ts';
import { writeQcow2 } from '../../src/plan/qcow2-image.ts';
import { firstDescriptor, type Descriptor, type LaunchRequest } from '../../src/protocol/launch.ts';
import { startJailed, type JailedProcess } from '../support/jailed-process.ts';
import { localFacts } from '../support/local-facts.ts';
import { connectWhenListening, RawMonitor } from '../support/raw-monitor.ts';

const diskBytes = 4 * 1024 ** 2;

/** A machine with one of everything, whose guest is the boot sector of the KVM probe: it writes to its console for ever. */
async function planEverything(directory: string): Promise<LaunchRequest> {
  const file = (name: string): string => join(directory, name);
  await ensureKvmProbeImage(file('boot.img'));
  for (const name of ['data', 'base', 'overlay', 'target'])
    await writeFile(file(name), writeQcow2(Buffer.alloc(diskBytes, name)));
  const definition = machineSchema.parse({
    name: 'everything',
    accel: 'tcg',
    cpu: { count: 2 },
    memory: '64MiB',
    disks: [
      { id: 'boot', path: file('boot.img'), format: 'raw', cache: 'none', limits: { iops: 500 } },
      { id: 'data', path: file('data'), format: 'qcow2', bus: 'scsi', cache: 'none', discard: 'unmap' },
    ],
    cdroms: [{ id: 'cd' }],
    vnc: true,
    agent: true,
  });
  const qemu = await gatherQemu(defaultQemu);
  assert.ok(qemu.ok, JSON.stringify(qemu));
  const host = await gatherHost();
  const planned = planLaunch(definition, {
    ...localFacts(definition, directory),
    ...host,
    qemu: qemu.value.facts,
  });
  assert.ok(planned.ok, JSON.stringify(planned));
  return withJobDisks(planned.plan.launch, ['base', 'overlay', 'target'].map(file));
}

/** Images for block jobs, as sets that stay open for the whole test; so they are without locks. */
function withJobDisks(launch: LaunchRequest, paths: readonly string[]): LaunchRequest {
  const descriptors: Descriptor[] = [...launch.descriptors];
  const options: string[] = [];
  for (const [index, path] of paths.entries()) {
    for (const access of ['ro', 'rw'] as const) {
      const fd = firstDescriptor + descriptors.length;
      descriptors.push({ kind: 'file', path, access, reopened: false });
      options.push('-add-fd', `fd=${fd},set=${100 + index}`);
    }
  }
  const base = ['-blockdev', JSON.stringify(jobNode('base', 100)), '-device', 'virtio-blk-pci,drive=base'];
  return { ...launch, descriptors, argv: [...launch.argv, ...options, ...base] };
}

function jobNode(name: string, set: number): object {
  const file = { driver: 'file', filename: `/dev/fdset/${set}`, locking: 'off', 'auto-read-only': true };
  return { driver: 'qcow2', 'node-name': name, backing: null, file };
}

function assertFiltered(jailed: JailedProcess): void {
  const threads = readdirSync(`/proc/${jailed.pid}/task`);
  assert.ok(threads.length >= 4, `${threads.length} threads`);
  for (const thread of threads) {
    const status = readFileSync(`/proc/${jailed.pid}/task/${thread}/status`, 'utf8');
    assert.match(status, /^Seccomp:\t2$/m, thread);
    assert.match(status, /^Seccomp_filters:\t2$/m, thread);
  }
}

async function readUntil(socket: Socket, text: string): Promise<void> {
  let output = '';
  const signal = AbortSignal.timeout(20_000);
  for await (const [chunk] of on(socket, signal)) {
    output += chunk.toString('latin1');
    if (output.includes(text)) return;
  }
}

async function* on(socket: Socket, signal: AbortSignal): AsyncGenerator<[Buffer]> {
  for (;;) yield (await once(socket, 'data', { signal })) as [Buffer];
}

/** Both ends of a Unix socket connection. */
async function socketPair(t: TestContext, directory: string): Promise<readonly [Socket, Socket]> {
  const path = join(directory, 'pair');
  const server = createServer().listen(path);
  await once(server, 'listening');
  const near = connect(path);
  const [far] = (await once(server, 'connection')) as [Socket];
  t.after(() => {
    near.destroy();
    far.destroy();
    server.close();
  });
  return [near, far];
}

async function watchByVnc(t: TestContext, monitor: RawMonitor, directory: string): Promise<void> {
  const [near, far] = await socketPair(t, directory);
  far.pause();
  await monitor.execute('getfd', { fdname: 'viewer' }, descriptorOf(far));
  far.destroy();
  const greeted = readUntil(near, 'RFB 003.008\n');
  await monitor.execute('add_client', { protocol: 'vnc', fdname: 'viewer', skipauth: true });
  await greeted;
  const offered = once(near, 'data', { signal: AbortSignal.timeout(10_000) });
  near.write('RFB 003.008\n');
  const [types] = (await offered) as [Buffer];
  assert.deepEqual([...types], [1, 1]);
  near.destroy();
}

async function runBlockJobs(monitor: RawMonitor): Promise<void> {
  await monitor.execute('blockdev-add', jobNode('overlay', 101));
  await monitor.execute('blockdev-snapshot', { node: 'base', overlay: 'overlay' });
  await monitor.execute('block-commit', { 'job-id': 'commit', device: 'overlay' });
  await monitor.waitFor('BLOCK_JOB_READY');
  await monitor.execute('block-job-complete', { device: 'commit' });
  await monitor.waitFor('BLOCK_JOB_COMPLETED');
  await monitor.execute('blockdev-del', { 'node-name': 'overlay' });
  await monitor.execute('blockdev-add', jobNode('target', 102));
  await monitor.execute('blockdev-mirror', {
    'job-id': 'mirror',
    device: 'base',
    target: 'target',
    sync: 'full',
  });
  await monitor.waitFor('BLOCK_JOB_READY');
  await monitor.execute('block-job-cancel', { device: 'mirror' });
  await monitor.waitFor('BLOCK_JOB_COMPLETED');
  await monitor.execute('block_resize', { 'node-name': 'base', size: diskBytes * 2 });
}

async function saveState(monitor: RawMonitor, path: string): Promise<void> {
  await monitor.execute('stop');
  await writeFile(path, '');
  const state = openSync(path, 'r+');
  await monitor.execute('getfd', { fdname: 'state' }, state);
  closeSync(state);
  await monitor.execute('migrate-set-capabilities', {
    capabilities: [{ capability: 'events', state: true }],
  });
  await monitor.execute('migrate', { uri: 'fd:state' });
  for (let status = ''; status !== 'completed';) {
    await monitor.waitFor('MIGRATION');
    ({ status } = (await monitor.execute('query-migrate')) as { status: string });
    assert.notEqual(status, 'failed');
  }
  assert.ok(readFileSync(path).length > 100_000);
}

test('a machine with one of everything lives under the filter, from boot to quit', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'qward-seccomp-'));
  t.after(() => rm(directory, { recursive: true }));
  await using jailed = await startJailed(await planEverything(directory));
  const { qmp = '', console: consolePath = '', agent: agentPath = '' } = jailed.sockets;
  await using monitor = await RawMonitor.open(qmp);
  const terminal = await connectWhenListening(consolePath, 1000);
  const agent = await connectWhenListening(agentPath, 1000);
  t.after(() => {
    terminal.destroy();
    agent.destroy();
  });
  const booted = readUntil(terminal, probeMagic);
  await monitor.execute('cont');
  await booted;
  terminal.write('typed\n');
  agent.write('{"execute":"guest-ping"}\n');
  assertFiltered(jailed);

  await watchByVnc(t, monitor, directory);
  await runBlockJobs(monitor);
  await monitor.execute('balloon', { value: 32 * 1024 ** 2 });
  await monitor.execute('query-blockstats');
  await monitor.execute('system_powerdown');
  await monitor.execute('stop');
  await monitor.execute('cont');
  const again = readUntil(terminal, probeMagic);
  await monitor.execute('system_reset');
  await monitor.waitFor('RESET');
  await again;
  assertFiltered(jailed);

  // What is refused answers as an error and harms nothing else.
  const outside = { type: 'inet', data: { host: '127.0.0.1', port: '1' } };
  await assert.rejects(
    monitor.execute('chardev-add', {
      id: 'out',
      backend: { type: 'socket', data: { addr: outside, server: false } },
    }),
    /not permitted|Failed to/,
  );
  await saveState(monitor, join(directory, 'state'));
  await monitor.execute('quit');
  await jailed.ended(5000);
});
