/**
 * Removes a private instance whatever state it is in, without the help of the programs under test: processes, mounts,
 * cgroups, files. Also those that a harness left which was itself killed.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { findCgroupMounts, killCgroup, processesIn, removeCgroup } from '../../src/jail/cgroups.ts';
import { unlessMissing } from '../../src/linux/errno.ts';
import { isAlive, processesOfUids, startTimeOf } from '../../src/linux/process.ts';
import { patienceMs } from './patience.ts';

/** Written as `instance.json` into the directory of an instance, so that a later run can sweep it. */
export interface InstanceMark {
  readonly directory: string;
  /** The harness: while it lives the instance is in use. */
  readonly owner: {
    readonly pid: number;
    readonly startTime: number;
    /** The process namespace in which the pid counts: the bench has one of its own. */
    readonly namespace: string;
  };
  readonly cgroupParent: string;
  readonly managerUid: number;
  readonly uidRange: { readonly base: number; readonly count: number };
}

export const instanceParent = '/run';
const prefixes = ['qward-t-', 'qward-try-', 'qward-bench-'];

/** Makes the directory and marks it as this process's. */
export function claimDirectory(mark: Omit<InstanceMark, 'owner'>): void {
  mkdirSync(mark.directory, { mode: 0o755 });
  const namespace = namespaceOf('self') ?? '';
  const owner = { pid: process.pid, startTime: startTimeOf(process.pid) ?? 0, namespace };
  writeFileSync(join(mark.directory, 'instance.json'), JSON.stringify({ ...mark, owner }));
}

const namespaceOf = (process: string): string | undefined =>
  unlessMissing(() => readlinkSync(`/proc/${process}/ns/pid`), ['ENOENT', 'ESRCH', 'EACCES']);

function lives({ pid, startTime, namespace }: InstanceMark['owner']): boolean {
  if (namespace === namespaceOf('self')) return isAlive(pid, startTime);
  // A namespace ends with its first process; here its pids are others.
  return readdirSync('/proc').some((entry) => /^\d+$/.test(entry) && namespaceOf(entry) === namespace);
}

/**
 * Processes that name the directory in their arguments, or have a file of it open: the daemons write their titles over
 * their arguments, and keep their logs.
 */
function processesUsing(directory: string): number[] {
  const isBelow = (path: string): boolean => path === directory || path.startsWith(`${directory}/`);
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      if (pid === process.pid || startTimeOf(pid) === undefined) return false;
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        return words.some(isBelow) || openFiles(pid).some(isBelow);
      } catch {
        return false;
      }
    });
}

function openFiles(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return [];
    }
  });
}

function killAll(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It was faster.
    }
  }
}

/** Mount points at or beneath the directory, the one mounted last first. */
export function mountsBelow(directory: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((path) => path === directory || path.startsWith(`${directory}/`))
    .toReversed();
}

function unmountBelow(directory: string): void {
  for (const path of mountsBelow(directory)) {
    try {
      execFileSync('umount', ['--lazy', path], { timeout: patienceMs, stdio: 'ignore' });
    } catch {
      // A mount above it took it along.
    }
  }
}

/** Everything of one instance. Throws where a process survives SIGKILL for long, or a cgroup stays. */
export async function sweepInstance(mark: InstanceMark): Promise<void> {
  const mounts = findCgroupMounts();
  const living = (): number[] => [
    ...processesUsing(mark.directory),
    ...processesIn(mounts, mark.cgroupParent).filter((pid) => startTimeOf(pid) !== undefined),
    ...processesOfUids(mark.managerUid, 1),
    ...processesOfUids(mark.uidRange.base, mark.uidRange.count),
  ];
  const deadline = performance.now() + patienceMs;
  for (let left = living(); left.length > 0; left = living()) {
    killCgroup(mounts, mark.cgroupParent);
    killAll(left);
    // At least once, however long the host may have stood still since.
    if (performance.now() > deadline) throw new Error(`processes ${left.join(', ')} do not end`);
    await delay(5);
  }
  unmountBelow(mark.directory);
  while (!removeCgroup(mounts, mark.cgroupParent)) {
    if (performance.now() > deadline) throw new Error(`the cgroup ${mark.cgroupParent} cannot be removed`);
    await delay(5);
  }
  rmSync(mark.directory, { recursive: true, force: true });
}

/** Sweeps the instances of harnesses that are gone; gives their directories. */
export async function sweepAbandoned(): Promise<string[]> {
  const swept: string[] = [];
  for (const name of readdirSync(instanceParent)) {
    if (!prefixes.some((prefix) => name.startsWith(prefix))) continue;
    let mark: InstanceMark;
    try {
      mark = JSON.parse(readFileSync(join(instanceParent, name, 'instance.json'), 'utf8')) as InstanceMark;
    } catch {
      continue;
    }
    if (lives(mark.owner)) continue;
    await sweepInstance(mark);
    swept.push(mark.directory);
  }
  return swept;
}
