/** The machine's cgroups on hosts with v1, v2 and both: finding, ending and removing them (cgroups(7)). */
import { readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { errorCode } from '../linux/errno.ts';
import { killVerified } from '../linux/pidfd.ts';

export interface CgroupMounts {
  readonly layout: 'v1' | 'v2' | 'hybrid';
  /** Mount point of each hierarchy. */
  readonly mounts: readonly { readonly path: string; readonly v2: boolean }[];
}

/** Reads the hierarchies out of /proc/self/mountinfo (proc(5)). */
export function parseCgroupMounts(mountinfo: string): CgroupMounts {
  const mounts: { path: string; v2: boolean }[] = [];
  for (const line of mountinfo.split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const path = left.split(' ')[4];
    const type = right.split(' ')[0];
    if (path !== undefined && (type === 'cgroup' || type === 'cgroup2'))
      mounts.push({ path, v2: type === 'cgroup2' });
  }
  const some = (v2: boolean): boolean => mounts.some((mount) => mount.v2 === v2);
  return { layout: some(true) ? (some(false) ? 'hybrid' : 'v2') : 'v1', mounts };
}

export function findCgroupMounts(): CgroupMounts {
  return parseCgroupMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** ENOTDIR: a file of the hierarchy has that name, `tasks` of v1 for one: no cgroup can be there. */
const isMissing = (error: unknown): boolean =>
  ['ENOENT', 'ENODEV', 'ESRCH', 'ENOTDIR'].includes(errorCode(error));

/** Every process in the cgroup, in any hierarchy, and in those below it. */
export function processesIn(mounts: CgroupMounts, cgroup: string): number[] {
  const pids = new Set<number>();
  for (const { path } of mounts.mounts) {
    for (const directory of tree(`${path}${cgroup}`)) {
      for (const pid of readList(`${directory}/cgroup.procs`)) pids.add(pid);
    }
  }
  return [...pids];
}

function readList(file: string): number[] {
  try {
    return readFileSync(file, 'latin1')
      .split('\n')
      .filter(Boolean)
      .map(Number)
      .filter((pid) => pid > 0);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** The directory and those below it, deepest first; none where it is missing. */
function tree(directory: string): string[] {
  try {
    const below = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [...below.flatMap((entry) => tree(`${directory}/${entry.name}`)), directory];
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** Sends SIGKILL to all processes of the cgroup, at once where the kernel can (cgroup.kill, Linux 5.14). */
export function killCgroup(mounts: CgroupMounts, cgroup: string): void {
  for (const { path, v2 } of mounts.mounts) {
    if (!v2) continue;
    try {
      writeFileSync(`${path}${cgroup}/cgroup.kill`, '1');
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
  for (const pid of processesIn(mounts, cgroup)) killVerified(pid, () => isMember(pid, cgroup));
}

function isMember(pid: number, cgroup: string): boolean {
  try {
    const memberships = readFileSync(`/proc/${pid}/cgroup`, 'latin1').split('\n');
    return memberships.some((line) => line.endsWith(`:${cgroup}`) || line.includes(`:${cgroup}/`));
  } catch (error) {
    if (!isMissing(error)) throw error;
    return false;
  }
}

/** Removes the empty cgroup from every hierarchy; false where a process still keeps one. */
export function removeCgroup(mounts: CgroupMounts, cgroup: string): boolean {
  for (const { path } of mounts.mounts) {
    for (const directory of tree(`${path}${cgroup}`)) {
      try {
        rmdirSync(directory);
      } catch (error) {
        if (!isMissing(error)) return false;
      }
    }
  }
  return true;
}
