/** Which limits of its cgroup brought a process down, in the kernel's own words (cgroups(7)). Anybody may read them. */
import { parseMountinfo } from './mountinfo.ts';
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

/** `cgroup`: its path below the mount of each hierarchy. All false where it is gone, or the kernel does not count. */
export function limitsHit(cgroup: string, mountinfo = readOptional('/proc/self/mountinfo')): LimitsHit {
  const mounts = parseMountinfo(mountinfo);
  const hit = sources.map(({ limit, key, v1, v2 }) => {
    const files = [
      [findCgroupDirectory([limit], cgroup, mounts), v1],
      [findCgroupDirectory([], cgroup, mounts), v2],
    ] as const;
    return files.some(
      ([directory, name]) => directory !== undefined && counts(readOptional(`${directory}/${name}`), key),
    );
  });
  return { memory: hit[0] === true, pids: hit[1] === true };
}

function counts(text: string, key: string): boolean {
  return text.split('\n').some((line) => line.startsWith(`${key} `) && Number(line.slice(key.length)) > 0);
}
