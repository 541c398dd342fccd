/**
 * Starts a launch request in a real jail made by runc, without broker and manager: for tests of the jail's parts. The
 * process gets a uid of its own from the top of the default range, where no machine of this host is expected.
 */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { openJailRoots } from '../../src/broker/jail-root.ts';
import type { ShownMount } from '../../src/broker/open-shown.ts';
import { cloneMount } from '../../src/linux/idmapped.ts';
import { compileBundle, type OciConfig } from '../../src/jail/bundle.ts';
import { findCgroupMounts, removeCgroup } from '../../src/jail/cgroups.ts';
import { runDetached } from '../../src/jail/runtime.ts';
import { isAlive, startTimeOf } from '../../src/linux/process.ts';
import { openTap } from '../../src/linux/tap.ts';
import { bindUnixSocket } from '../../src/linux/unix-socket.ts';
import type { Descriptor, LaunchRequest, SocketName } from '../../src/protocol/launch.ts';
import { patienceMs } from './patience.ts';

export const jailedUid = 1_879_048_300;

export interface JailedProcess extends AsyncDisposable {
  readonly pid: number;
  readonly sockets: Readonly<Partial<Record<SocketName, string>>>;
  /** How long the runtime took, ms. */
  readonly runtimeMs: number;
  /** What the process wrote to stdout and stderr. */
  readonly readLog: () => Promise<Buffer>;
  readonly alive: () => boolean;
  /** Below the mount of each hierarchy. */
  readonly cgroup: string;
  /** Resolves when the process has ended by itself; throws when the limit has passed. */
  readonly ended: (timeoutMs: number) => Promise<void>;
}

const deviceNumbers = { '/dev/kvm': { type: 'c', major: 10, minor: 232 } } as const;

export async function startJailed(
  launch: LaunchRequest,
  options: {
    readonly runtime?: string;
    readonly change?: (config: OciConfig) => void;
    /** Opens what takes the place of a machine's network card. */
    readonly netdev?: () => number;
  } = {},
): Promise<JailedProcess> {
  const directory = await mkdtemp(join(tmpdir(), 'qward-jail-'));
  await chmod(directory, 0o711);
  const cgroup = `/${basename(directory)}`;
  const cgroups = findCgroupMounts();
  const roots = openJailRoots(join(directory, 'roots'));
  const mounts = await Promise.all((launch.shown ?? []).map(({ path }) => showState(path)));
  const { machine, program } = launch;
  const root =
    mounts.length === 0
      ? roots.open(launch.root, program)
      : roots.openOwn(machine, launch.root, { program, shown: mounts });
  for (const { mount } of mounts) closeSync(mount);
  if (!root.ok) throw new Error(JSON.stringify(root.refusals));
  const compiled = compileBundle(launch, {
    uid: jailedUid,
    gid: jailedUid,
    rootDirectory: root.directory,
    cgroup,
    cgroups: cgroups.layout,
    deviceNumbers,
  });
  // Parts of a bundle are shared by all.
  const config = structuredClone(compiled);
  options.change?.(config);
  await mkdir(join(directory, 'bundle'));
  await writeFile(join(directory, 'bundle/config.json'), JSON.stringify(config));
  const log = join(directory, 'log');
  const descriptors = [openSync('/dev/null', 'r'), openSync(log, 'a'), openSync(log, 'a')];
  const startedAt = performance.now();
  try {
    for (const descriptor of launch.descriptors)
      descriptors.push(open(descriptor, directory, options.netdev));
    const outcome = await runDetached({
      binary: options.runtime ?? '/usr/sbin/runc',
      stateRoot: join(directory, 'runc'),
      bundle: join(directory, 'bundle'),
      id: basename(directory),
      scope: false,
      descriptors,
      deadlineMs: 20_000,
    });
    if (!outcome.ok) throw new Error(outcome.message);
    const startTime = startTimeOf(outcome.pid) ?? -1;
    const alive = (): boolean => isAlive(outcome.pid, startTime);
    const ended = async (timeoutMs: number): Promise<void> => {
      for (const giveUpAt = performance.now() + timeoutMs; alive(); await wait(5))
        if (performance.now() > giveUpAt) throw new Error(`pid ${outcome.pid} lives after ${timeoutMs} ms`);
    };
    return {
      pid: outcome.pid,
      cgroup,
      runtimeMs: performance.now() - startedAt,
      sockets: Object.fromEntries(
        launch.descriptors.flatMap((each) =>
          each.kind === 'socket' ? [[each.name, join(directory, `${each.name}.sock`)]] : [],
        ),
      ),
      readLog: () => readFile(log),
      alive,
      ended,
      async [Symbol.asyncDispose]() {
        if (alive()) process.kill(outcome.pid, 'SIGKILL');
        await ended(patienceMs);
        await removeWhenReaped(cgroup);
        roots.close();
        await rm(directory, { recursive: true });
      },
    };
  } catch (error) {
    await removeWhenReaped(cgroup);
    roots.close();
    await rm(directory, { recursive: true });
    throw error;
  } finally {
    for (const fd of descriptors) closeSync(fd);
  }
}

/** A directory as the process's own, as the broker shows it. */
async function showState(path: string): Promise<ShownMount> {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const mount = await cloneMount(fd, { access: 'rw', owner: fstatSync(fd), uid: jailedUid });
    return { mount, target: path, directory: true };
  } finally {
    closeSync(fd);
  }
}

/** A dead process keeps its cgroup until pid 1 has reaped it, which some do lazily. */
async function removeWhenReaped(cgroup: string): Promise<void> {
  const cgroups = findCgroupMounts();
  for (const giveUpAt = performance.now() + patienceMs; !removeCgroup(cgroups, cgroup); await wait(5))
    if (performance.now() > giveUpAt) throw new Error(`${cgroup} cannot be removed`);
}

function open(
  descriptor: Descriptor,
  directory: string,
  netdev: () => number = () => {
    throw new Error('no network card in this test');
  },
): number {
  switch (descriptor.kind) {
    case 'file':
      return openSync(descriptor.path, descriptor.access === 'ro' ? 'r' : 'r+');
    case 'socket':
      return bindUnixSocket(join(directory, `${descriptor.name}.sock`), 0o600);
    case 'tap':
      return openTap(descriptor.bridge).fd;
    case 'netdev':
      return netdev();
    case 'card':
    case 'queue':
    case 'vhost-net':
    case 'usb':
      throw new Error(`no ${descriptor.kind} in this test`);
  }
}
