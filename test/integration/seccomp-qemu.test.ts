/**
 * QEMU at work under the filter of its jail and its own four denials: all that the life of a machine asks of it, each call
 * traced; and that the filter allows nothing beyond that. Needs root.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parseDefinition } from '../../src/definition/parse.ts';
import { ensureKvmProbeImage, probeMagic } from '../../src/manager/facts/kvm-probe-image.ts';
import { gatherHost } from '../../src/manager/facts/host.ts';
import { defaultQemu, gatherQemu } from '../../src/manager/facts/qemu-facts.ts';
import { planLaunch } from '../../src/plan/plan-launch.ts';
import { writeQcow2 } from '../../src/plan/qcow2-image.ts';
import { seccompProfiles } from '../../src/jail/seccomp.ts';
import { firstDescriptor, type Descriptor, type LaunchRequest } from '../../src/protocol/launch.ts';
import { buildDemoGuest, readyLine } from '../support/demo-guest.ts';
import { localFacts } from '../support/local-facts.ts';
import { enterOwnNetwork } from '../support/network.ts';
import {
  cancelMigration,
  loadState,
  readUntil,
  runJob,
  saveState,
  watchByVnc,
} from '../support/qemu-exercises.ts';
import { connectWhenListening, RawMonitor } from '../support/raw-monitor.ts';
import { refusedCalls, unusedParts } from '../support/seccomp-coverage.ts';
import { startTraced, type TracedCall, type TracedProcess } from '../support/traced-jail.ts';

const megabyte = 1024 ** 2;
const diskBytes = 4 * megabyte;
const bridge = 'seccomp0';
const hostAddress = '192.0.2.1';

let directory = '';
const file = (name: string): string => join(directory, name);
/** What all processes of this file made. */
let calls: readonly TracedCall[] = [];

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'qward-seccomp-'));
  enterOwnNetwork();
  for (const words of [
    `link add ${bridge} type bridge`,
    `addr add ${hostAddress}/24 dev ${bridge}`,
    `link set ${bridge} up`,
  ])
    execFileSync('ip', words.split(' '));
});
after(() => rm(directory, { recursive: true }));

/** A launch of the definition, by the very planning that the manager does. */
async function plan(yaml: string): Promise<LaunchRequest> {
  const parsed = parseDefinition(yaml);
  assert.ok(parsed.ok, JSON.stringify(parsed));
  const qemu = await gatherQemu(defaultQemu);
  assert.ok(qemu.ok, JSON.stringify(qemu));
  const facts = { ...localFacts(parsed.definition, directory), ...(await gatherHost()) };
  const planned = planLaunch(parsed.definition, { ...facts, qemu: qemu.value.facts });
  assert.ok(planned.ok, JSON.stringify(planned));
  return planned.plan.launch;
}

interface Running extends AsyncDisposable {
  readonly monitor: RawMonitor;
  readonly terminal: Socket;
  readonly agent: Socket;
  readonly traced: TracedProcess;
  /** Resolves when the process has ended by itself; its calls are counted from then on. */
  readonly ended: () => Promise<void>;
}

async function start(launch: LaunchRequest): Promise<Running> {
  const traced = await startTraced(launch, directory);
  const { jailed } = traced;
  try {
    const monitor = await RawMonitor.open(jailed.sockets.qmp ?? '', 30_000);
    const terminal = await connectWhenListening(jailed.sockets.console ?? '', 5000);
    const agent = await connectWhenListening(jailed.sockets.agent ?? '', 5000);
    return {
      monitor,
      terminal,
      agent,
      traced,
      ended: async () => {
        await jailed.ended(30_000);
        calls = calls.concat(await traced.calls());
      },
      [Symbol.asyncDispose]: async () => {
        for (const socket of [terminal, agent]) socket.destroy();
        await monitor[Symbol.asyncDispose]();
        await jailed[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    const log = await jailed.readLog();
    await jailed[Symbol.asyncDispose]();
    throw new Error(`${launch.machine} did not start: ${log.toString('latin1')}`, { cause: error });
  }
}

function assertFiltered({ traced: { jailed } }: Running): void {
  const threads = readdirSync(`/proc/${jailed.pid}/task`);
  assert.ok(threads.length >= 4, `${threads.length} threads`);
  for (const thread of threads) {
    const status = readFileSync(`/proc/${jailed.pid}/task/${thread}/status`, 'utf8');
    assert.match(status, /^Seccomp:\t2$/m, thread);
    assert.match(status, /^Seccomp_filters:\t2$/m, thread);
  }
}

/** A block device over a file, until the function has ended. */
async function withLoop<T>(image: string, use: (device: string) => Promise<T>): Promise<T> {
  const device = execFileSync('losetup', ['--find', '--show', image], { encoding: 'utf8' }).trim();
  try {
    return await use(device);
  } finally {
    execFileSync('losetup', ['--detach', device]);
  }
}

/** Images for block jobs, as sets that stay open for the whole test; so they are without locks. */
function withJobDisks(launch: LaunchRequest, names: readonly string[]): LaunchRequest {
  const descriptors: Descriptor[] = [...launch.descriptors];
  const options: string[] = [];
  for (const [index, name] of names.entries()) {
    for (const access of ['ro', 'rw'] as const) {
      const fd = firstDescriptor + descriptors.length;
      descriptors.push({ kind: 'file', path: file(name), access, claimant: null, reopened: false });
      options.push('-add-fd', `fd=${fd},set=${100 + index}`);
    }
  }
  const base = ['-blockdev', JSON.stringify(jobNode('base', 100)), '-device', 'virtio-blk-pci,drive=base'];
  return { ...launch, descriptors, argv: [...launch.argv, ...options, ...base] };
}

function jobNode(name: string, set: number): object {
  const inner = { driver: 'file', filename: `/dev/fdset/${set}`, locking: 'off', 'auto-read-only': true };
  return { driver: 'qcow2', 'node-name': name, backing: null, discard: 'unmap', file: inner };
}

/** A machine without an operating system: its guest is the boot sector of the KVM probe, which writes for ever. */
async function smallMachine(name: string): Promise<LaunchRequest> {
  await ensureKvmProbeImage(file('boot.img'));
  for (const image of ['data', 'base', 'overlay', 'target'])
    await writeFile(file(image), writeQcow2(Buffer.alloc(diskBytes, image)));
  const launch = await plan(`name: ${name}
accel: tcg
cpu: {count: 2}
memory: 64MiB
memoryBacking: {preallocate: true}
iothreads: 1
sound: {model: ich9}
watchdog: {model: i6300esb}
serials: [{id: com2}]
disks:
  - {id: boot, path: ${file('boot.img')}, format: raw, cache: none, limits: {iops: 500}}
  - {id: data, path: ${file('data')}, format: qcow2, bus: scsi, cache: none}
cdroms: [{id: cd}]
vnc: true
agent: true`);
  return withJobDisks(launch, ['base', 'overlay', 'target']);
}

test('monitor, VNC, snapshots, block jobs, balloon, reset and a saved state work under the filter', async () => {
  await using machine = await start(await smallMachine('small'));
  const { monitor, terminal, agent } = machine;
  const booted = readUntil(terminal, probeMagic);
  await monitor.execute('cont');
  await booted;
  terminal.write('typed\n');
  agent.write('{"execute":"guest-ping"}\n');
  assertFiltered(machine);

  await watchByVnc(monitor, directory);
  await monitor.execute('blockdev-add', jobNode('overlay', 101));
  await monitor.execute('blockdev-snapshot', { node: 'base', overlay: 'overlay' });
  await runJob(monitor, 'block-commit', { device: 'overlay', 'auto-dismiss': false }, true);
  await monitor.execute('blockdev-del', { 'node-name': 'overlay' });
  await monitor.execute('blockdev-add', { ...jobNode('flat', 101), driver: 'raw', backing: undefined });
  await monitor.execute('block_resize', { 'node-name': 'flat', size: diskBytes * 2 });
  await monitor.execute('blockdev-add', jobNode('target', 102));
  const mirror = { device: 'base', target: 'target', sync: 'full', 'auto-dismiss': false };
  await runJob(monitor, 'blockdev-mirror', mirror, true);
  await monitor.execute('block_resize', { 'node-name': 'target', size: diskBytes * 2 });
  const backup = { device: 'target', target: 'base', sync: 'full', 'auto-dismiss': false };
  await monitor.execute('block_resize', { 'node-name': 'base', size: diskBytes * 2 });
  await runJob(monitor, 'blockdev-backup', backup);
  const snapshot = { tag: 'first', devices: ['base'] };
  await runJob(monitor, 'snapshot-save', { ...snapshot, vmstate: 'base' });
  await runJob(monitor, 'snapshot-load', { ...snapshot, vmstate: 'base' });
  await runJob(monitor, 'snapshot-delete', snapshot);
  await monitor.execute('balloon', { value: 32 * megabyte });
  await monitor.execute('query-blockstats');
  await monitor.execute('system_powerdown');
  await monitor.execute('stop');
  await monitor.execute('cont');
  const again = readUntil(terminal, probeMagic);
  await monitor.execute('system_reset');
  await monitor.waitFor('RESET');
  await again;
  assertFiltered(machine);
  // What is refused answers as an error and harms nothing else.
  const outside = { type: 'inet', data: { host: '127.0.0.1', port: '1' } };
  const backend = { type: 'socket', data: { addr: outside, server: false } };
  await assert.rejects(monitor.execute('chardev-add', { id: 'out', backend }), /not permitted|Failed to/);
  await cancelMigration(monitor, directory);
  await saveState(monitor, file('state'));
  await monitor.execute('quit');
  await machine.ended();
});

test('a saved state comes back under the filter, and goes on', async () => {
  const launch = await smallMachine('restored');
  await using machine = await start({ ...launch, argv: [...launch.argv, '-incoming', 'defer'] });
  await loadState(machine.monitor, file('state'));
  const goesOn = readUntil(machine.terminal, probeMagic);
  await machine.monitor.execute('cont');
  await goesOn;
  await machine.monitor.execute('quit');
  await machine.ended();
});

test('a Linux guest under UEFI uses every disk and its network, and shuts down, under the filter', async () => {
  const guest = buildDemoGuest();
  writeFileSync(file('uefi.qcow2'), writeQcow2(readFileSync('/usr/share/OVMF/OVMF_VARS_4M.fd')));
  for (const name of ['virtio', 'scsi', 'nvme'])
    writeFileSync(file(name), writeQcow2(Buffer.alloc(8 * megabyte)));
  writeFileSync(file('sata'), Buffer.alloc(8 * megabyte));
  const launch = await plan(`name: uefi
firmware: uefi
accel: tcg
cpu: {count: 2}
memory: 256MiB
boot: {kernel: ${guest.kernel}, initrd: ${guest.initrd}, cmdline: '${guest.cmdline}'}
disks:
  - {id: a, path: ${file('virtio')}, format: qcow2, cache: none, limits: {iops: 2000, bps: 50MiB}}
  - {id: b, path: ${file('scsi')}, format: qcow2, bus: scsi}
  - {id: c, path: ${file('nvme')}, format: qcow2, bus: nvme, cache: none}
  - {id: d, path: ${file('sata')}, format: raw, bus: sata, cache: writethrough}
nics: [{id: lan, kind: bridge, bridge: ${bridge}}]
vnc: true
agent: true`);
  await using machine = await start(launch);
  const { monitor, terminal } = machine;
  const ready = readUntil(terminal, readyLine);
  await monitor.execute('cont');
  await ready;
  assertFiltered(machine);
  const say = async (line: string, answer: string): Promise<void> => {
    const said = readUntil(terminal, answer);
    terminal.write(`${line}\n`);
    await said;
  };
  // Split words, so that the echo of the line is not the answer.
  for (const disk of ['vda', 'sda', 'nvme0n1']) {
    const write = `dd if=/dev/zero of=/dev/${disk} bs=64k count=32 conv=fsync 2>/dev/null`;
    const read = `dd if=/dev/${disk} of=/dev/null bs=64k count=16 2>/dev/null`;
    await say(`${write} && ${read} && echo do''ne ${disk}`, `done ${disk}`);
  }
  for (const disk of ['vda', 'sda'])
    await say(`blkdiscard /dev/${disk}; echo dis''carded ${disk}`, `discarded ${disk}`);
  await say(
    `ifconfig eth0 192.0.2.2 up; ping -c 2 -w 20 ${hostAddress} | grep -c 'bytes from' | sed 's/^/ans''wers /'`,
    'answers 2',
  );
  const down = readUntil(terminal, 'shutting down');
  await monitor.execute('system_powerdown');
  await down;
  await machine.ended();
});

test('a disk that is a block device is written, zeroed and discarded under the filter', async () => {
  writeFileSync(file('device'), Buffer.alloc(diskBytes, 'device'));
  await withLoop(file('device'), async (device) => {
    const launch = await smallMachine('device');
    const first = firstDescriptor + launch.descriptors.length;
    const opened = (['ro', 'rw'] as const).map((access): Descriptor => ({
      kind: 'file',
      path: device,
      access,
      claimant: null,
      reopened: false,
    }));
    const argv = ['-add-fd', `fd=${first},set=200`, '-add-fd', `fd=${first + 1},set=200`];
    await using machine = await start({
      ...launch,
      argv: [...launch.argv, ...argv],
      descriptors: [...launch.descriptors, ...opened],
    });
    const { monitor } = machine;
    const node = {
      driver: 'host_device',
      filename: '/dev/fdset/200',
      locking: 'off',
      discard: 'unmap',
      cache: { direct: true },
    };
    await monitor.execute('blockdev-add', { 'node-name': 'device', ...node });
    const commands = ['write 0 64k', 'write -z 64k 64k', 'write -z -u 128k 64k', 'discard 256k 64k'];
    for (const command of commands)
      await monitor.execute('human-monitor-command', { 'command-line': `qemu-io device "${command}"` });
    await monitor.execute('quit');
    await machine.ended();
    const done = (await machine.traced.jailed.readLog())
      .toString('latin1')
      .match(/65536\/65536 bytes at offset/g);
    assert.equal(done?.length, commands.length);
  });
});

test('a microvm reaches its kernel under the filter', async () => {
  const guest = buildDemoGuest();
  await writeFile(file('micro'), writeQcow2(Buffer.alloc(diskBytes)));
  const cmdline = guest.cmdline.replace(' quiet', '');
  await using machine = await start(
    await plan(`name: micro
machine: microvm
accel: tcg
memory: 128MiB
boot: {kernel: ${guest.kernel}, initrd: ${guest.initrd}, cmdline: '${cmdline}'}
disks: [{id: root, path: ${file('micro')}, format: qcow2}]
nics: [{id: lan, kind: bridge, bridge: ${bridge}}]
agent: true`),
  );
  const said = readUntil(machine.terminal, 'Linux version');
  await machine.monitor.execute('cont');
  await said;
  process.kill(machine.traced.jailed.pid, 'SIGTERM');
  await machine.ended();
});

test('nothing is allowed that nothing used, but for what says when it is', () => {
  assert.deepEqual(unusedParts(seccompProfiles.qemu, calls), []);
});

test('QEMU asks for io_uring, is refused, and works without', () => {
  assert.ok(refusedCalls(seccompProfiles.qemu, calls).has('io_uring_setup'));
});
