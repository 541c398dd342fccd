/** The machine's cgroups on hosts with v1, v2 and both: finding, ending and removing them (cgroups(7)). */
import { existsSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { unlessMissing } from '../linux/errno.ts';
import { parseMountinfo } from '../linux/mountinfo.ts';
import { killVerified } from '../linux/pidfd.ts';

export interface CgroupMounts {
  readonly layout: 'v1' | 'v2' | 'hybrid';
  /** Mount point of each hierarchy. */
  readonly mounts: readonly { readonly path: string; readonly v2: boolean }[];
}

/** The hierarchies among what is mounted. */
export function parseCgroupMounts(mountinfo: string): CgroupMounts {
  const mounts = parseMountinfo(mountinfo)
    .filter(({ type }) => type === 'cgroup' || type === 'cgroup2')
    .map(({ point, type }) => ({ path: point, v2: type === 'cgroup2' }));
  const some = (v2: boolean): boolean => mounts.some((mount) => mount.v2 === v2);
  return { layout: some(true) ? (some(false) ? 'hybrid' : 'v2') : 'v1', mounts };
}

export function findCgroupMounts(): CgroupMounts {
  return parseCgroupMounts(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** ENOTDIR: a file of the hierarchy has that name, `tasks` of v1 for one: no cgroup can be there. */
const unlessGone = <Found>(look: () => Found): Found | undefined =>
  unlessMissing(look, ['ENOENT', 'ENODEV', 'ESRCH', 'ENOTDIR']);

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
  const text = unlessGone(() => readFileSync(file, 'latin1')) ?? '';
  return text
    .split('\n')
    .map(Number)
    .filter((pid) => pid > 0);
}

/** The directory and those below it, deepest first; none where it is missing. */
function tree(directory: string): string[] {
  const entries = unlessGone(() => readdirSync(directory, { withFileTypes: true }));
  if (entries === undefined) return [];
  const below = entries.filter((entry) => entry.isDirectory());
  return [...below.flatMap((entry) => tree(`${directory}/${entry.name}`)), directory];
}

/** Sends SIGKILL to all processes of the cgroup, at once where the kernel can (cgroup.kill, Linux 5.14). */
export function killCgroup(mounts: CgroupMounts, cgroup: string): void {
  for (const { path, v2 } of mounts.mounts)
    if (v2) unlessGone(() => writeFileSync(`${path}${cgroup}/cgroup.kill`, '1'));
  for (const pid of processesIn(mounts, cgroup)) killVerified(pid, () => isMember(pid, cgroup));
}

function isMember(pid: number, cgroup: string): boolean {
  const memberships = unlessGone(() => readFileSync(`/proc/${pid}/cgroup`, 'latin1')) ?? '';
  return memberships.split('\n').some((line) => line.endsWith(`:${cgroup}`) || line.includes(`:${cgroup}/`));
}

export function cgroupExists({ mounts }: CgroupMounts, cgroup: string): boolean {
  return mounts.some(({ path }) => existsSync(`${path}${cgroup}`));
}

/** Removes the empty cgroup from every hierarchy; false where a process still keeps one. */
export function removeCgroup(mounts: CgroupMounts, cgroup: string): boolean {
  for (const { path } of mounts.mounts) {
    for (const directory of tree(`${path}${cgroup}`)) {
      try {
        unlessGone(() => rmdirSync(directory));
      } catch {
        return false;
      }
    }
  }
  return true;
}
