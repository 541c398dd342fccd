/**
 * Users with sessions of their own for tests: each with a home that is closed to others, and an uid and groups that nothing else
 * has. No part of qward runs as root here; root only takes the users' place by setpriv, and clears away behind them.
 */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  chownSync,
  chmodSync,
  copyFileSync,
  readlinkSync,
  rmSync,
  lstatSync,
  writeFileSync,
} from 'node:fs';
import { spawn, type ChildProcess } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { QwardClient } from '../../src/api/client.ts';
import { processesOfUids } from '../../src/linux/process.ts';
import { exposeCheckout, removeExposedCheckout } from './checkout.ts';
import { buildDemoGuest, createDemoDisk, type DemoGuest } from './demo-guest.ts';
import { demoMachine, type DemoMachine } from './demo-machine.ts';
import { run, type CommandOutcome, type RunOptions } from './instance.ts';
import { patienceMs } from './patience.ts';

export interface SessionUser extends AsyncDisposable {
  readonly uid: number;
  readonly home: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Words with which a program runs as the user. */
  readonly asUser: readonly string[];
  readonly cli: readonly string[];
  /** The CLI, as the user, with --session. */
  readonly qward: (words: readonly string[], options?: RunOptions) => Promise<CommandOutcome>;
  /** Where the session's sockets are. */
  readonly run: () => string;
  /** Over the API, from this process: root may. */
  readonly client: () => QwardClient;
  /** The pid of one of the session's daemons; undefined where it does not run. */
  readonly daemon: (name: 'broker' | 'manager') => number | undefined;
  /** The kernel and initial RAM disk of the demo guest, the user's own and closed to others. */
  readonly guest: DemoGuest;
  readonly disk: (name: string) => string;
  /** Writes a definition and defines it. */
  readonly define: (machine: Omit<DemoMachine, 'guest'>) => Promise<CommandOutcome>;
}

export interface SessionUserOptions {
  readonly groups?: readonly number[];
  /** With a runtime directory as pam_systemd makes it. */
  readonly runtime?: boolean;
  readonly uid?: number;
  /** In a mount namespace in which cgroup v2 is the only hierarchy, whatever the host has: crun takes no other. */
  readonly cgroup2?: boolean;
}

const firstUid = 960_000_000;

export async function sessionUser(options: SessionUserOptions = {}): Promise<SessionUser> {
  const uid = options.uid ?? firstUid + randomInt(1_000_000);
  const directory = mkdtempSync('/run/qward-s-');
  chmodSync(directory, 0o755);
  const site = exposeCheckout(directory);
  const own = (path: string): string => {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    chownSync(path, uid, uid);
    return path;
  };
  const home = own(join(directory, 'home'));
  const runtime = options.runtime === true ? { XDG_RUNTIME_DIR: own(join(directory, 'u')) } : {};
  const environment = { HOME: home, PATH: '/usr/bin:/bin', LANG: 'C.UTF-8', ...runtime };
  // A login puts the own gid among the supplementary groups.
  const groups = [uid, ...(options.groups ?? [])];
  const keeper = options.cgroup2 === true ? await keepNamespace() : undefined;
  const asUser = [
    ...(keeper === undefined ? [] : ['/usr/bin/nsenter', `--mount=/proc/${keeper.pid}/ns/mnt`]),
    '/usr/bin/setpriv',
    `--reuid=${uid}`,
    `--regid=${uid}`,
    `--groups=${groups.join(',')}`,
    '--inh-caps=-all',
    '--bounding-set=-all',
    '--',
  ];
  const node = join(site, 'node_modules/.bin/node');
  const cli = [node, '--disable-warning=ExperimentalWarning', join(site, 'src/cli/main.ts')];
  const qward = (words: readonly string[], runOptions?: RunOptions): Promise<CommandOutcome> =>
    run([...asUser, ...cli, '--session', ...words], environment, runOptions);
  const runDirectory = (): string => {
    const { XDG_RUNTIME_DIR: named } = { XDG_RUNTIME_DIR: '', ...runtime };
    return named === '' ? readlinkSync(`${home}/.local/state/qward/run`) : `${named}/qward`;
  };
  const guest = ownGuest(home, uid);
  const disk = (name: string): string => {
    const path = join(home, `${name}.qcow2`);
    createDemoDisk(path);
    chownSync(path, uid, uid);
    chmodSync(path, 0o600);
    return path;
  };
  return {
    uid,
    home,
    environment,
    asUser,
    cli,
    qward,
    run: runDirectory,
    client: () => new QwardClient({ socketPath: `${runDirectory()}/api.sock` }),
    daemon: (name) => processesOfUids(uid, 1).find((pid) => titleOf(pid) === `qward-${name}`),
    guest,
    disk,
    define: async (machine) => {
      const path = join(home, `${machine.name}.yaml`);
      writeFileSync(path, demoMachine({ ...machine, guest }));
      chownSync(path, uid, uid);
      return await qward(['define', path]);
    },
    [Symbol.asyncDispose]: async () => {
      await endAll(uid);
      keeper?.kill('SIGKILL');
      removeExposedCheckout(directory);
      for (const name of readdirSync('/tmp').filter((one) => one.startsWith('qward-')))
        removeOf(`/tmp/${name}`, uid);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function keepNamespace(): Promise<ChildProcess> {
  const mounts =
    'mount --make-rprivate / && umount --lazy /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup';
  const child = spawn(
    '/usr/bin/unshare',
    ['--mount', '/bin/sh', '-c', `${mounts} && echo there && exec sleep infinity`],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  await once(child.stdout, 'data');
  return child;
}

function ownGuest(home: string, uid: number): DemoGuest {
  const guest = buildDemoGuest();
  const mine = (path: string, name: string): string => {
    const copy = join(home, name);
    copyFileSync(path, copy);
    chownSync(copy, uid, uid);
    chmodSync(copy, 0o600);
    return copy;
  };
  return { ...guest, kernel: mine(guest.kernel, 'vmlinuz'), initrd: mine(guest.initrd, 'initrd.cpio') };
}

export function titleOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0')[0] ?? '';
  } catch {
    return '';
  }
}

/** The uid is of this test alone. */
async function endAll(uid: number): Promise<void> {
  for (const giveUpAt = performance.now() + patienceMs; ; await delay(20)) {
    const pids = processesOfUids(uid, 1);
    if (pids.length === 0) return;
    for (const pid of pids)
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended.
      }
    if (performance.now() > giveUpAt)
      throw new Error(`processes of uid ${uid} do not end: ${pids.join(' ')}`);
  }
}

function removeOf(path: string, uid: number): void {
  try {
    if (statOf(path) === uid) rmSync(path, { recursive: true, force: true });
  } catch {
    // Another test's, and gone.
  }
}

const statOf = (path: string): number => lstatSync(path).uid;
