/** `qward host up`: makes the directories and sockets and starts both daemons, where no service manager does. */
import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { bindUnixSocket } from '../linux/unix-socket.ts';
import { isAlive } from '../linux/process.ts';
import { logOf, rememberDaemons, startDaemon, type Daemon, type DaemonName } from './daemons.ts';
import { closedToManager } from './closed-to-manager.ts';
import { findDaemons } from './find-daemons.ts';
import { failed, hintFor, unable, whileLocked, type HostOutcome } from './outcome.ts';
import type { HostSite } from './site.ts';

/** Directory modes as docs/files.md lists them. Each is made closed, then given its owner, then its mode. */
export function makeHostDirectories({ roots, paths, managerUid, managerGid }: HostSite): void {
  const make = (path: string, uid: number, gid: number, mode: number): void => {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    chownSync(path, uid, gid);
    chmodSync(path, mode);
  };
  make(roots.config, 0, 0, 0o755);
  // The set-group-ID bit gives the broker's socket the manager's group from its first instant.
  make(roots.run, 0, managerGid, 0o2755);
  make(roots.state, 0, 0, 0o755);
  make(paths.images, 0, 0, 0o755);
  make(paths.brokerState, 0, 0, 0o700);
  make(paths.managerState, managerUid, managerGid, 0o700);
  make(paths.managerRun, managerUid, managerGid, 0o700);
  make(paths.vars, managerUid, managerGid, 0o700);
}

/** `ready` asks the manager for its information; it answers false while nobody listens yet. For root alone. */
export async function hostUp(site: HostSite, ready: () => Promise<boolean>): Promise<HostOutcome> {
  try {
    makeHostDirectories(site);
    return await whileLocked(site, () => bringUp(site, ready));
  } catch (error) {
    return failed([], unable('up', error), hintFor(error, site));
  }
}

async function bringUp(site: HostSite, ready: () => Promise<boolean>): Promise<HostOutcome> {
  const { daemons: living, foreign } = await findDaemons(site);
  if (living.length === 2) return { ok: true, daemons: living, message: 'qward is up already', hint: '' };
  const other = foreign[0];
  if (other !== undefined)
    return failed(
      living,
      `process ${other.pid} listens on ${other.path} already`,
      'under systemd: systemctl start qward-manager; else end that process',
    );
  const closed = closedToManager(site);
  if (closed !== undefined) return failed(living, closed.message, closed.hint);
  return await becomeReady(site, startMissing(site, living), ready);
}

/** All of the daemons, or, where one cannot be started or remembered, none but those that lived before. */
function startMissing(site: HostSite, living: readonly Daemon[]): readonly Daemon[] {
  const started: Daemon[] = [];
  try {
    for (const name of ['broker', 'manager'] as const) {
      if (living.some((daemon) => daemon.name === name)) continue;
      started.push(startDaemon(name, site, bindSockets(name, site)));
      rememberDaemons(site, [...living, ...started]);
    }
    return [...living, ...started];
  } catch (error) {
    for (const { pid } of started) process.kill(pid, 'SIGKILL');
    throw error;
  }
}

/** The daemon's sockets by the names that it knows them by. A descriptor that is not passed on ends with this program. */
export function bindSockets(name: DaemonName, { paths }: HostSite): Record<string, number> {
  // SECURITY: promise 1. Any user may ask the manager, which looks at who it is; only the manager's group reaches the broker.
  if (name === 'manager') return { api: bindFresh(paths.apiSocket, 0o666) };
  const broker = bindFresh(paths.brokerSocket, 0o660);
  // SECURITY: promise 4. Users speak to the broker themselves, on a socket on which they claim files, and administrators enable the start with the host.
  const claims = bindFresh(paths.claimsSocket, 0o666);
  chownSync(paths.claimsSocket, 0, 0);
  return { broker, claims };
}

function bindFresh(path: string, mode: number): number {
  rmSync(path, { force: true });
  return bindUnixSocket(path, mode);
}

const readyDeadlineMs = 20_000;
const retryMs = 10;

async function becomeReady(
  site: HostSite,
  daemons: readonly Daemon[],
  ready: () => Promise<boolean>,
): Promise<HostOutcome> {
  const deadline = performance.now() + readyDeadlineMs;
  while (performance.now() < deadline) {
    const dead = daemons.find(({ pid, startTime }) => !isAlive(pid, startTime));
    if (dead !== undefined)
      return failed(
        daemons,
        `qward-${dead.name} ended at once: ${lastLine(logOf(site, dead.name))}`,
        `see ${logOf(site, dead.name)}`,
      );
    if (await ready()) return { ok: true, daemons, message: 'qward is up', hint: '' };
    await delay(retryMs);
  }
  return failed(
    daemons,
    `the manager does not answer after ${readyDeadlineMs / 1000} s`,
    `see ${logOf(site, 'manager')}`,
  );
}

function lastLine(path: string): string {
  return readFileSync(path, 'utf8').trim().split('\n').at(-1)?.slice(0, 500) ?? '';
}
