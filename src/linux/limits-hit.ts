/** Which limits of its cgroup brought a process down, in the kernel's own words (cgroups(7)). Anybody may read them. */
import { parseMountinfo, type Mount } from './mountinfo.ts';
import { findCgroupDirectory } from './process-facts-cgroup.ts';
import { readOptional } from './process-facts-read.ts';

export interface LimitsHit {
  /** The kernel killed a process for its memory. */
  readonly memory: boolean;
  /** The kernel refused a new thread or process. */
  readonly pids: boolean;
}

/** Files with `key count` lines: of v1 by controller, of v2 in the one hierarchy. */
const sources = [
  { limit: 'memory', key: 'oom_kill', v1: 'memory.oom_control', v2: 'memory.events' },
  { limit: 'pids', key: 'max', v1: 'pids.events', v2: 'pids.events' },
] as const;

/**
 * `cgroup`: its path below the mount of each hierarchy. All false where it is gone, or the kernel does not count. systemd removes
 * the cgroup of a scope with its last process: then memory is told by what was killed beside it since `killsBefore`
 * (memoryKills), which may have been another machine's.
 */
export function limitsHit(cgroup: string, killsBefore = Infinity): LimitsHit {
  const mounts = ownMounts();
  const hit = sources.map(({ limit, key, v1, v2 }) => {
    const files = [
      [findCgroupDirectory([limit], cgroup, mounts), v1],
      [findCgroupDirectory([], cgroup, mounts), v2],
    ] as const;
    return files.some(
      ([directory, name]) =>
        directory !== undefined && countOf(readOptional(`${directory}/${name}`), key) > 0,
    );
  });
  return { memory: hit[0] === true || memoryKills(cgroup, mounts) > killsBefore, pids: hit[1] === true };
}

/** Processes that the kernel killed for memory in the parent of a scope, until now; 0 where the cgroup is no scope. */
export function memoryKills(cgroup: string, mounts?: readonly Mount[]): number {
  if (!cgroup.endsWith('.scope')) return 0;
  const parent = findCgroupDirectory([], cgroup.slice(0, cgroup.lastIndexOf('/')), mounts ?? ownMounts());
  return parent === undefined ? 0 : countOf(readOptional(`${parent}/memory.events`), 'oom_kill');
}

const ownMounts = (): Mount[] => parseMountinfo(readOptional('/proc/self/mountinfo'));

function countOf(text: string, key: string): number {
  const line = text.split('\n').find((one) => one.startsWith(`${key} `));
  return line === undefined ? 0 : Number(line.slice(key.length));
}
