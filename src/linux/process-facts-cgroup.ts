/** The control files of a process's cgroups on hosts with v1, v2 and both (cgroups(7)). */
import type { ProcessFacts } from '../protocol/broker.ts';
import { parseMountinfo, type Mount } from './mountinfo.ts';
import { countDevicePrograms } from './process-facts-bpf.ts';
import { readOptional } from './process-facts-read.ts';

/** Files by controller; those of v2 are tried in the one hierarchy. */
const filesOfV2 = [
  'pids.max',
  'memory.max',
  'memory.swap.max',
  'cpu.max',
  'cpu.weight',
  'io.weight',
  'io.bfq.weight',
];
const filesOfV1: Readonly<Record<string, readonly string[]>> = {
  pids: ['pids.max'],
  memory: ['memory.limit_in_bytes'],
  cpu: ['cpu.cfs_quota_us', 'cpu.cfs_period_us', 'cpu.shares'],
  blkio: ['blkio.weight', 'blkio.bfq.weight'],
  devices: ['devices.list'],
};

/** `cgroup`: text of /proc/PID/cgroup; `mountinfo`: the reader's own. */
export function readCgroupFiles(
  cgroup: string,
  mountinfo: string,
): Pick<ProcessFacts, 'cgroupFiles' | 'devicePrograms'> {
  const files: Record<string, string> = {};
  let devicePrograms: number | null = null;
  const mounts = parseMountinfo(mountinfo);
  for (const line of cgroup.split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) continue;
    const directory = findCgroupDirectory(controllers.split(',').filter(Boolean), path, mounts);
    if (directory === undefined) continue;
    const names =
      controllers === '' ? filesOfV2 : controllers.split(',').flatMap((name) => filesOfV1[name] ?? []);
    for (const name of names) {
      const text = readOptional(`${directory}/${name}`).trim();
      if (text !== '') files[name] = text;
    }
    if (controllers === '') devicePrograms = countDevicePrograms(directory);
  }
  return { cgroupFiles: files, devicePrograms };
}

/** Directory of a cgroup below the mount of its hierarchy: v2 where there are no controllers, else the v1 that has them all. */
export function findCgroupDirectory(
  controllers: readonly string[],
  path: string,
  mounts: readonly Mount[],
): string | undefined {
  // A cgroup outside the reader's own cgroup namespace shows as /../…: it cannot be reached by name.
  if (path.split('/').includes('..')) return undefined;
  for (const { root, point, type, options } of mounts) {
    if (type !== (controllers.length === 0 ? 'cgroup2' : 'cgroup')) continue;
    if (!controllers.every((name) => options.includes(name))) continue;
    if (root === '/') return `${point}${path}`;
    if (path === root || path.startsWith(`${root}/`)) return `${point}${path.slice(root.length)}`;
  }
  return undefined;
}
