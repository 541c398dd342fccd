/** The session instance of whoever calls: brought up where it does not run, by one caller of several. */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { daemonCommand, daemonEnvironment } from '../linux/daemon-program.ts';
import {
  findSessionRoots,
  makeSessionRoots,
  NoSessionPlace,
  type SessionUser,
} from '../linux/session-roots.ts';
import { pathsBelow, type Roots } from '../protocol/paths.ts';

/** Why a session cannot be reached; `hint` is the cure. */
export class SessionFault extends Error {
  readonly hint: string;
  constructor(message: string, hint: string) {
    super(message);
    this.name = 'SessionFault';
    this.hint = hint;
  }
}

const readyWithinMs = 20_000;
const retryMs = 5;

/** The path of the manager's socket, whether or not anybody listens there. */
export function sessionSocket(user: SessionUser): string {
  const found = orFault(() => findSessionRoots(user));
  return pathsBelow({ ...found, run: found.run ?? `${found.state}/run` }).apiSocket;
}

/** The same, once somebody listens there. Throws SessionFault. */
export async function bringUpSession(user: SessionUser): Promise<string> {
  const roots = rootsOf(user);
  const { apiSocket } = pathsBelow(roots);
  if (await isAnswered(apiSocket)) return apiSocket;
  const ended: { status?: number } =
    hasSocketUnit(user) && startSocketUnit() ? {} : startManager(roots, user);
  const giveUpAt = performance.now() + readyWithinMs;
  while (performance.now() < giveUpAt) {
    if (await isAnswered(apiSocket)) return apiSocket;
    // Where another brought it up at the same time, that one's is answered soon.
    if (ended.status !== undefined && ended.status !== 0) break;
    await delay(retryMs);
  }
  throw new SessionFault(
    ended.status === undefined
      ? `the manager of your session does not answer after ${readyWithinMs / 1000} s`
      : 'the manager of your session ended at once',
    `see ${roots.run}/manager.log`,
  );
}

function rootsOf(user: SessionUser): Roots {
  if (user.uid === 0)
    throw new SessionFault(
      'root has no session: that would be no confinement',
      'use the system instance: --system',
    );
  return orFault(() => makeSessionRoots(user));
}

function orFault<Result>(work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (error instanceof NoSessionPlace) throw new SessionFault(error.message, error.hint);
    throw error;
  }
}

const socketUnit = 'qward-session.socket';

/** The package's unit, and the user's own systemd to start it. */
const hasSocketUnit = ({ environment }: SessionUser): boolean =>
  existsSync(`/usr/lib/systemd/user/${socketUnit}`) &&
  existsSync(`${environment['XDG_RUNTIME_DIR'] ?? '/nonexistent'}/systemd/private`);

const startSocketUnit = (): boolean =>
  spawnSync('systemctl', ['--user', 'start', socketUnit], { stdio: 'ignore', timeout: 10_000 }).status === 0;

/** What the daemons need of the user's environment: places, and where the user's own systemd is. */
const passedOn = [
  'HOME',
  'XDG_CONFIG_HOME',
  'XDG_STATE_HOME',
  'XDG_CACHE_HOME',
  'XDG_RUNTIME_DIR',
  'DBUS_SESSION_BUS_ADDRESS',
  'NODE_COMPILE_CACHE',
];

/** Of all that are started at once, one finds the session's lock free; the others end. */
function startManager(roots: Roots, { environment }: SessionUser): { status?: number } {
  const log = openSync(`${roots.run}/manager.log`, 'a', 0o600);
  const ended: { status?: number } = {};
  try {
    const places = ['--config-dir', roots.config, '--run-dir', roots.run, '--state-dir', roots.state];
    // SECURITY: promise 1. No set-uid program gives the manager anything, whoever has taken it over.
    const words = ['--no-new-privs', '--', ...managerCommand(), '--session', ...places];
    const env = Object.fromEntries(passedOn.map((name) => [name, environment[name]]));
    const child = spawn('/usr/bin/setpriv', words, {
      stdio: ['ignore', log, log],
      env: { ...env, PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8', ...daemonEnvironment },
      cwd: '/',
      detached: true,
    });
    child.once('error', () => (ended.status = 1));
    child.once('exit', (status) => (ended.status = status ?? 1));
    child.unref();
    return ended;
  } finally {
    closeSync(log);
  }
}

/** The compiled CLI (docs/decisions/0023) is no Node: a script beside it runs the manager. */
function managerCommand(): readonly string[] {
  if (!('bun' in process.versions)) return daemonCommand('manager');
  return [`${dirname(process.execPath)}/qward-manager`];
}

function isAnswered(path: string): Promise<boolean> {
  if (!existsSync(path)) return Promise.resolve(false);
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
