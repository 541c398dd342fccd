/** The two daemons as `host up` starts them, and what is remembered of them in /run. */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { keepDescriptorsFrom } from '../linux/close-on-exec.ts';
import {
  daemonCommand,
  daemonEnvironment,
  inListeningShell,
  type DaemonName,
} from '../linux/daemon-program.ts';
import { isAlive, startTimeOf } from '../linux/process.ts';
import { isObject } from '../protocol/values.ts';
import type { HostSite } from './site.ts';

export type { DaemonName };

export interface Daemon {
  readonly name: DaemonName;
  readonly pid: number;
  readonly startTime: number;
}

/** Starts a daemon with these sockets, by name, as its only inherited descriptors. They are closed here. */
export function startDaemon(
  name: DaemonName,
  site: HostSite,
  sockets: Readonly<Record<string, number>>,
): Daemon {
  const { roots } = site;
  const places = ['--config-dir', roots.config, '--run-dir', roots.run, '--state-dir', roots.state];
  const own =
    name === 'broker'
      ? [
          '--idle',
          '0',
          '--manager-uid',
          String(site.managerUid),
          '--manager-gid',
          String(site.managerGid),
          '--cgroup-parent',
          site.cgroupParent,
        ]
      : [];
  const inShell = inListeningShell([...daemonCommand(name), ...places, ...own]);
  const [program = '', ...argv] = name === 'manager' ? [...asManager(site), ...inShell] : inShell;
  const fds = Object.values(sockets);
  const log = openSync(logOf(site, name), 'a', 0o640);
  try {
    // SECURITY: promise 1. Descriptors of root's shell, which may be anything, are not passed on to the manager.
    keepDescriptorsFrom(3);
    const environment = {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      LISTEN_FDS: String(fds.length),
      LISTEN_FDNAMES: Object.keys(sockets).join(':'),
      LANG: 'C.UTF-8',
      ...daemonEnvironment,
    };
    const child = spawn(program, argv, {
      stdio: ['ignore', log, log, ...fds],
      env: environment,
      cwd: '/',
      detached: true,
    });
    child.unref();
    const pid = child.pid ?? 0;
    return { name, pid, startTime: startTimeOf(pid) ?? 0 };
  } finally {
    for (const fd of [log, ...fds]) closeSync(fd);
  }
}

/** SECURITY: promise 1. The manager has its uid, no group but its own, no capability in any set, and can never gain one. */
export function asManager({ managerUid, managerGid }: HostSite): string[] {
  return [
    '/usr/bin/setpriv',
    `--reuid=${managerUid}`,
    `--regid=${managerGid}`,
    '--clear-groups',
    '--bounding-set=-all',
    '--inh-caps=-all',
    '--no-new-privs',
    '--',
  ];
}

export function logOf(site: HostSite, name: DaemonName): string {
  return `${site.roots.run}/${name}.log`;
}

function recordOf(site: HostSite): string {
  return `${site.roots.run}/host.json`;
}

/** Of host.json: `{"version": 2, "daemons": [...]}`; version 1 was the list alone. */
const recordVersion = 2;

/** Of a newer qward's record: what it says of daemons is not known here, and is not written over. */
export class NewerRecord extends Error {
  readonly hint = 'end what that qward started: qward host down, of either';
  constructor(path: string, version: number) {
    super(
      `${path} is of version ${version}, and this qward knows versions 1 to ${recordVersion}: a newer one wrote it`,
    );
    this.name = 'NewerRecord';
  }
}

/** Throws NewerRecord. */
export function rememberDaemons(site: HostSite, daemons: readonly Daemon[]): void {
  const version = versionOf(readRecord(site));
  if (version > recordVersion) throw new NewerRecord(recordOf(site), version);
  const record = JSON.stringify({ version: recordVersion, daemons });
  writeFileSync(`${recordOf(site)}.new`, record, { mode: 0o644 });
  renameSync(`${recordOf(site)}.new`, recordOf(site));
}

export function forgetDaemons(site: HostSite): void {
  rmSync(recordOf(site), { force: true });
}

/** The daemons that were started and still live. */
export function livingDaemons(site: HostSite): Daemon[] {
  const record = readRecord(site);
  const value = isObject(record) ? record['daemons'] : record;
  return Array.isArray(value)
    ? value.filter(isDaemon).filter(({ pid, startTime }) => isAlive(pid, startTime))
    : [];
}

function readRecord(site: HostSite): unknown {
  try {
    return JSON.parse(readFileSync(recordOf(site), 'utf8'));
  } catch {
    return undefined;
  }
}

function versionOf(record: unknown): number {
  const version = isObject(record) ? record['version'] : undefined;
  return typeof version === 'number' ? version : 1;
}

function isDaemon(value: unknown): value is Daemon {
  return (
    typeof value === 'object' &&
    value !== null &&
    'name' in value &&
    (value.name === 'broker' || value.name === 'manager') &&
    'pid' in value &&
    Number.isSafeInteger(value.pid) &&
    'startTime' in value &&
    Number.isSafeInteger(value.startTime)
  );
}
