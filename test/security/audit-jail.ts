/** A jail made by hand with runc, for tests of the audit: one good configuration, and whatever a test breaks in it. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  realpathSync,
  rmSync,
  statSync,
} from 'node:fs';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isAlive, startTimeOf } from '../../src/linux/process.ts';
import { bindUnixSocket } from '../../src/linux/unix-socket.ts';
import type { LaunchedMachine } from '../../src/protocol/broker.ts';
import type { LaunchRequest } from '../../src/protocol/launch.ts';

const binary = '/usr/bin/qemu-system-x86_64';
/** Below qward's own range, so that no machine of the host has it, and another one in each test process. */
const uid = 1_870_000_000 + process.pid;
const machine = 'audit-test';
const deadlineMs = 20_000;

const root: LaunchRequest['root'] = [
  binary,
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib64/ld-linux-x86-64.so.2',
  '/usr/share/qemu',
  '/usr/share/seabios',
  '/usr/lib/ipxe/qemu',
].map((target) => ({ source: realpathSync(target), target }));

const limits: LaunchRequest['limits'] = {
  memory: 512 * 1024 * 1024,
  pids: 100,
  cpuWeight: 100,
  cpuQuota: 150_000,
  ioWeight: 100,
  openFiles: 1024,
  fileSize: 1024 * 1024 * 1024,
};

const argv: LaunchRequest['argv'] = [
  ['-S', '-no-user-config', '-nodefaults'],
  ['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
  ['-machine', 'q35,sata=off', '-accel', 'tcg,tb-size=32', '-cpu', 'max,vmx=off,svm=off', '-m', '64'],
  ['-display', 'none', '-add-fd', 'fd=3,set=1', '-add-fd', 'fd=4,set=1', '-add-fd', 'fd=5,set=2'],
  ['-blockdev', blockNode('root', 1, { 'auto-read-only': true })],
  ['-blockdev', blockNode('tools', 2, { 'read-only': true })],
  ['-device', '{"driver":"virtio-blk-pci","drive":"root"}'],
  ['-chardev', 'socket,id=qmp,fd=6,server=on,wait=off', '-mon', 'chardev=qmp,mode=control'],
].flat();

function blockNode(name: string, set: number, more: object): string {
  return JSON.stringify({ driver: 'file', 'node-name': name, filename: `/dev/fdset/${set}`, ...more });
}

/** The OCI configuration, as loose as the tests that break it need. */
export interface JailConfig {
  process: {
    user: { uid: number; gid: number; additionalGids: number[] };
    args: string[];
    capabilities: Record<string, string[]>;
    rlimits: { type: string; soft: number; hard: number }[];
    [key: string]: unknown;
  };
  mounts: { destination: string; type: string; source: string; options: string[] }[];
  linux: {
    namespaces: { type: string }[];
    devices: object[];
    resources: { devices: object[]; pids: { limit: number }; [key: string]: unknown };
    seccomp?: object;
    [key: string]: unknown;
  };
  [key: string]: unknown;
}

function goodConfig(cgroup: string): JailConfig {
  const rlimit = (type: string, value: number) => ({ type: `RLIMIT_${type}`, soft: value, hard: value });
  const shares = Math.round(2 + ((limits.cpuWeight - 1) * 262_142) / 9999);
  return {
    ociVersion: '1.0.2',
    hostname: machine,
    root: { path: 'root', readonly: true },
    process: {
      user: { uid, gid: uid, additionalGids: [] },
      args: [binary, ...argv],
      env: [],
      cwd: '/',
      noNewPrivileges: true,
      capabilities: { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] },
      rlimits: [
        ...['CORE', 'MSGQUEUE', 'MEMLOCK'].map((type) => rlimit(type, 0)),
        rlimit('NOFILE', limits.openFiles),
        rlimit('FSIZE', limits.fileSize),
      ],
    },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'noexec', 'mode=755'] },
      ...root.map(({ source, target }) => bind(source, target)),
    ],
    linux: {
      namespaces: ['mount', 'pid', 'ipc', 'uts', 'network', 'cgroup'].map((type) => ({ type })),
      devices: [],
      cgroupsPath: cgroup,
      maskedPaths: ['/proc/kcore', '/proc/acpi', '/proc/keys'],
      readonlyPaths: ['/proc/sys', '/proc/bus', '/proc/irq'],
      resources: {
        devices: [{ allow: false, access: 'rwm' }],
        memory: { limit: limits.memory },
        pids: { limit: limits.pids },
        cpu: { shares, quota: limits.cpuQuota, period: 100_000 },
      },
      seccomp: {
        defaultAction: 'SCMP_ACT_ALLOW',
        syscalls: [{ names: ['kexec_load'], action: 'SCMP_ACT_ERRNO' }],
      },
    },
  };
}

export function bind(source: string, destination: string): JailConfig['mounts'][number] {
  return { destination, type: 'bind', source, options: ['bind', 'ro', 'nosuid', 'nodev'] };
}

export interface JailChange {
  readonly config?: (config: JailConfig) => void;
  /** Files to open for reading, and to leave open in QEMU beside what it was planned to get. */
  readonly extraFiles?: readonly string[];
}

export interface RunningJail extends AsyncDisposable {
  readonly launched: LaunchedMachine;
  /** Identity of the granted images. */
  readonly files: Readonly<Record<string, { readonly device: number; readonly inode: number }>>;
}

/** Starts QEMU, its guest stopped, in a jail of its own and returns once its monitor has greeted. */
export async function startJail(change: JailChange = {}): Promise<RunningJail> {
  const id = `qward-audit-${process.pid}-${Math.floor(Math.random() * 1e9)}`;
  const directory = mkdtempSync(join(tmpdir(), 'qward-audit-'));
  let socket: Socket | undefined;
  let pid: number | undefined;
  const dispose = async (): Promise<void> => {
    socket?.destroy();
    await remove(id, pid);
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const launch = prepare(directory, `/${id}`, change);
    pid = run(directory, id, change);
    socket = await greeted(`${directory}/qmp.sock`, pid);
    return {
      launched: describe(directory, { id, pid, launch }),
      files: identitiesOf(launch),
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

function prepare(directory: string, cgroup: string, change: JailChange): LaunchRequest {
  // QEMU as another user passes through the directory to nothing: it has descriptors only.
  chmodSync(directory, 0o755);
  mkdirSync(`${directory}/root/usr/lib64`, { recursive: true });
  symlinkSync('usr/lib', `${directory}/root/lib`);
  symlinkSync('usr/lib64', `${directory}/root/lib64`);
  const config = goodConfig(cgroup);
  change.config?.(config);
  writeFileSync(`${directory}/config.json`, JSON.stringify(config));
  for (const name of ['root', 'tools'])
    writeFileSync(`${directory}/${name}.img`, Buffer.alloc(1024 * 1024), { mode: 0o600 });
  const file = (name: string, access: 'ro' | 'rw') =>
    ({ kind: 'file', path: `${directory}/${name}.img`, access, claimant: null, reopened: false }) as const;
  return {
    machine,
    binary,
    argv,
    env: {},
    descriptors: [
      file('root', 'ro'),
      file('root', 'rw'),
      file('tools', 'ro'),
      { kind: 'socket', name: 'qmp' },
    ],
    devices: [],
    root,
    limits,
    program: 'qemu',
  };
}

function run(directory: string, id: string, change: JailChange): number {
  const files: (readonly [path: string, flags: string])[] = [
    ['/dev/null', 'r'],
    [`${directory}/log`, 'a'],
    [`${directory}/log`, 'a'],
    [`${directory}/root.img`, 'r'],
    [`${directory}/root.img`, 'r+'],
    [`${directory}/tools.img`, 'r'],
  ];
  const fds: number[] = [];
  try {
    for (const [path, flags] of files) fds.push(openSync(path, flags));
    fds.push(bindUnixSocket(`${directory}/qmp.sock`, 0o600));
    for (const path of change.extraFiles ?? []) fds.push(openSync(path, 'r'));
    const args = [
      'run',
      '--detach',
      '--preserve-fds',
      String(fds.length - 3),
      '--pid-file',
      `${directory}/pid`,
      '-b',
      directory,
      id,
    ];
    const done = spawnSync('runc', args, { stdio: fds, timeout: deadlineMs });
    if (done.status !== 0) throw new Error(`runc failed: ${readFileSync(`${directory}/log`, 'utf8')}`);
    return Number(readFileSync(`${directory}/pid`, 'utf8'));
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}

/** QEMU listens once it has read its arguments; until then the connection is refused, which no event tells. */
async function greeted(path: string, pid: number): Promise<Socket> {
  const end = performance.now() + deadlineMs;
  while (performance.now() < end && startTimeOf(pid) !== undefined) {
    const socket = connect(path);
    try {
      await once(socket, 'data', { signal: AbortSignal.timeout(deadlineMs) });
      return socket;
    } catch {
      socket.destroy();
      await delay(10);
    }
  }
  throw new Error(`QEMU did not greet: ${readFileSync(join(path, '../log'), 'utf8')}`);
}

function describe(
  directory: string,
  { id, pid, launch }: { readonly id: string; readonly pid: number; readonly launch: LaunchRequest },
): LaunchedMachine {
  return {
    machine,
    pid,
    startTime: startTimeOf(pid) ?? 0,
    uid,
    gid: uid,
    cgroup: `/${id}`,
    runtime: 'runc',
    sockets: { qmp: `${directory}/qmp.sock` },
    log: `${directory}/log`,
    files: {},
    launchedAt: new Date().toISOString(),
    launch,
    alive: true,
  };
}

function identitiesOf(launch: LaunchRequest): RunningJail['files'] {
  const paths = launch.descriptors.flatMap((one) => (one.kind === 'file' ? [one.path] : []));
  return Object.fromEntries(
    paths.map((path) => {
      const { dev, ino } = statSync(path);
      return [path, { device: dev, inode: ino }];
    }),
  );
}

async function remove(id: string, pid: number | undefined): Promise<void> {
  const startTime = pid === undefined ? undefined : startTimeOf(pid);
  if (pid !== undefined && startTime !== undefined) {
    process.kill(pid, 'SIGKILL');
    // The process is no child of ours, so its end is seen in /proc only.
    const end = performance.now() + deadlineMs;
    while (isAlive(pid, startTime) && performance.now() < end) await delay(10);
  }
  spawnSync('runc', ['delete', '--force', id], { timeout: deadlineMs });
}
