/** A session's broker: a program of the same user's, started by the manager, and gone when the manager is. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { daemonCommand, daemonEnvironment, inListeningShell } from '../../linux/daemon-program.ts';
import { unlessMissing } from '../../linux/errno.ts';
import { bindUnixSocket } from '../../linux/unix-socket.ts';
import type { Paths, Roots } from '../../protocol/paths.ts';

export interface BrokerProcessOptions {
  readonly roots: Roots;
  readonly paths: Paths;
  /** With what the runtimes find the user's own systemd. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Of one that died on its own: not in a circle without a pause. */
const againAfterMs = 200;
const formerEndsWithinMs = 35_000;
const pollMs = 20;

export class BrokerProcess {
  readonly #options: BrokerProcessOptions;
  #child: ChildProcess | undefined;
  #starting: Promise<void> | undefined;
  #ended = false;

  constructor(options: BrokerProcessOptions) {
    this.#options = options;
  }

  /** Starts it where it does not run. One of an earlier manager finishes what it does, and ends. */
  async ensure(): Promise<void> {
    if (this.#child !== undefined || this.#ended) return;
    this.#starting ??= this.#start().finally(() => {
      this.#starting = undefined;
    });
    await this.#starting;
  }

  /** It finishes what it does. */
  end(): void {
    this.#ended = true;
    this.#child?.stdin?.destroy();
  }

  async #start(): Promise<void> {
    const { paths } = this.#options;
    const giveUpAt = performance.now() + formerEndsWithinMs;
    while ((await isAnswered(paths.brokerSocket)) && performance.now() < giveUpAt) await wait(pollMs);
    if (this.#ended) return;
    const child = this.#spawn();
    this.#child = child;
    child.once('exit', () => {
      this.#child = undefined;
      // Users claim files on its socket without asking the manager first: it is to be there.
      setTimeout(() => void this.ensure(), againAfterMs).unref();
    });
  }

  #spawn(): ChildProcess {
    const { roots, paths, environment } = this.#options;
    mkdirSync(paths.brokerState, { recursive: true, mode: 0o700 });
    const sockets = [paths.brokerSocket, paths.claimsSocket].map((path) => {
      rmSync(path, { force: true });
      return bindUnixSocket(path, 0o600);
    });
    const log = openSync(`${roots.run}/broker.log`, 'a', 0o600);
    const places = ['--config-dir', roots.config, '--run-dir', roots.run, '--state-dir', roots.state];
    const limits = hasOwnSlice(environment) ? ['--cgroup-manager', 'systemd'] : ['--cgroup-parent', ''];
    const own = ['--session', '--idle', '0', ...limits];
    const [program = '', ...words] = inListeningShell([...daemonCommand('broker'), ...own, ...places]);
    try {
      const child = spawn(program, words, {
        // The end of this pipe is how it learns that the manager is gone, whatever way.
        stdio: ['pipe', log, log, ...sockets],
        env: {
          PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
          LANG: 'C.UTF-8',
          LISTEN_FDS: '2',
          LISTEN_FDNAMES: 'broker:claims',
          XDG_RUNTIME_DIR: environment['XDG_RUNTIME_DIR'],
          DBUS_SESSION_BUS_ADDRESS: environment['DBUS_SESSION_BUS_ADDRESS'],
          ...daemonEnvironment,
        },
        cwd: '/',
        detached: true,
      });
      child.once('error', () => undefined);
      child.stdin?.on('error', () => undefined);
      child.unref();
      return child;
    } finally {
      for (const fd of [log, ...sockets]) closeSync(fd);
    }
  }
}

/** Without these two the limits of a machine would be none. */
const needed = ['memory', 'pids'];

/** Whether the user's own systemd is there, has a bus, and may limit what it starts (systemd.resource-control(5), Delegate). */
function hasOwnSlice(environment: BrokerProcessOptions['environment']): boolean {
  const runtime = environment['XDG_RUNTIME_DIR'];
  const uid = process.getuid?.() ?? -1;
  if (runtime === undefined || !existsSync(`${runtime}/bus`)) return false;
  const controllers = `/sys/fs/cgroup/user.slice/user-${uid}.slice/user@${uid}.service/cgroup.controllers`;
  const given = unlessMissing(() => readFileSync(controllers, 'utf8').trim().split(' ')) ?? [];
  return needed.every((name) => given.includes(name));
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
