/** What the process sees of the host's files: its root directory, what is mounted in it, and the program itself. */
import { hookProgram } from '../protocol/hook.ts';
import {
  isPasst,
  isShare,
  nodesOf,
  relaxedTo,
  type ExpectedWalls,
  type MachineWalls,
} from './expected-walls.ts';
import { judge, type Finding } from './finding.ts';
import { hostPaths, type Mount } from './mounts.ts';
import type { ProcessState } from './process-state.ts';
import { standardNodes } from './wall-dev.ts';

/** What the broker puts into a root beside the planned paths. */
const skeleton: ReadonlySet<string> = new Set(['proc', 'dev', 'usr', 'lib', 'lib64']);
/** In that of a hook, which has all of /usr. */
const skeletonOfHook: ReadonlySet<string> = new Set([...skeleton, 'bin', 'sbin', hookProgram.slice(1)]);

/** File systems of the process's own that the OCI runtimes mount, by target. */
const ownMounts: Readonly<Record<string, readonly string[]>> = {
  '/proc': ['proc'],
  '/dev': ['tmpfs'],
  '/dev/pts': ['devpts'],
  '/dev/shm': ['tmpfs'],
  '/dev/mqueue': ['mqueue'],
};

export function compareRoot(state: ProcessState, expected: ExpectedWalls): Finding {
  const { root } = state.facts;
  if (root.sameAsHost) return judge('', ["the host's own root directory"]);
  if (expected !== null && isPasst(expected)) return judge('its own, empty', faultsOfPasst(state, expected));
  if (expected !== null && isShare(expected)) return judge('its folder', faultsOfShare(state, expected));
  const faults = expected === null ? faultsOfForeign(state) : faultsOfMachine(state, expected);
  return judge(`its own, ${state.mounts.length} mounts`, faults);
}

/** It has left the root that the jail gave it for an empty file system of no size. */
function faultsOfPasst(
  { facts: { root, mappedFiles }, mounts }: ProcessState,
  { launch, files, rootless }: MachineWalls,
): string[] {
  const program = files[launch.binary];
  // A user does not see the device of a file without a path.
  const shown = rootless === null ? program?.device : '*';
  const runs = program !== undefined && mappedFiles.includes(`/${shown}:${program.inode}`);
  return [
    ...(runs ? [] : [`does not run ${launch.binary}`]),
    ...root.entries.map((name) => `/${name} in its root`),
    ...mounts.flatMap(({ target, type, readOnly }) =>
      target === '/' && type === 'tmpfs' && readOnly ? [] : [`${target} (${type})`],
    ),
  ];
}

/** It has gone into its folder by chroot: nothing is mounted that it sees but that, and what the owner has mounted beneath. */
function faultsOfShare({ mounts, hostMounts }: ProcessState, { launch }: MachineWalls): string[] {
  const [folder] = launch.shown ?? [];
  const [root] = mounts;
  if (folder === undefined || root?.target !== '/') return ['it is not in its folder'];
  return mounts.flatMap((mount) => {
    const place = `${folder.path}${mount.target === '/' ? '' : mount.target}`;
    if (!hostPaths(mount, hostMounts).includes(place)) return [`${mount.target} is not ${place}`];
    // SECURITY: promise 2. What a guest makes in it is no device, no program and nobody's rights, whoever opens it by this mount.
    if (mount === root && !mount.plain) return [`${place} without nosuid, nodev and noexec`];
    return folder.access === 'ro' && !mount.readOnly ? [`${place} can be written`] : [];
  });
}

function faultsOfMachine(state: ProcessState, expected: MachineWalls): string[] {
  const { launch } = expected;
  const { exe, root } = state.facts;
  const faults: string[] = [];
  if (exe !== launch.binary) faults.push(`runs ${exe}`);
  const known = launch.program === 'hook' ? skeletonOfHook : skeleton;
  const ofDevices = relaxedTo(expected, 'pci').length > 0 ? ['sys'] : [];
  const shown = new Set([...(launch.shown ?? []).map(({ path }) => path.split('/')[1] ?? ''), ...ofDevices]);
  for (const name of root.entries)
    if (!known.has(name) && !shown.has(name)) faults.push(`/${name} in its root`);
  for (const mount of state.mounts) {
    const fault = faultOfMount(mount, state, expected) ?? faultOfPropagation(mount, state);
    if (fault !== null) faults.push(fault);
  }
  return faults;
}

function faultOfMount(mount: Mount, state: ProcessState, expected: MachineWalls): string | null {
  const paths = hostPaths(mount, state.hostMounts);
  const place = `${mount.target} (${paths[0] ?? mount.type})`;
  if (mount.target === '/') {
    if (!mount.readOnly) return `${place} can be written`;
    return paths.includes('/') ? "its root is the host's" : null;
  }
  const planned = expected.launch.root.filter(({ target }) => target === mount.target);
  if (planned.length > 0) {
    if (!planned.some(({ source }) => paths.includes(source))) return `${place} is not what was planned`;
    return mount.readOnly ? null : `${place} can be written`;
  }
  // Without root no node can be made: those of the host are bound.
  if (expected.rootless !== null && isNode(mount.target, expected) && paths.includes(mount.target))
    return null;
  if (expected.rootless !== null && mount.target === '/dev' && !mount.readOnly)
    return `${place} can be written`;
  const given = (expected.launch.shown ?? []).find(
    ({ path }) => mount.target === path || mount.target.startsWith(`${path}/`),
  );
  // SECURITY: promise 6. What is shown is what was asked for, and to be written only where that was asked for; what the host
  // mounts beneath it later has the host's own options.
  if (given !== undefined) {
    if (!paths.includes(mount.target)) return `${place} is not what was planned`;
    if (mount.target === given.path && !mount.plain) return `${place} without nosuid, nodev and noexec`;
    return mount.target === given.path && given.access === 'ro' && !mount.readOnly
      ? `${place} can be written`
      : null;
  }
  // What QEMU reads of a device's IOMMU group.
  const [, device = ''] = /^\/sys\/bus\/pci\/devices\/(.*)$/.exec(mount.target) ?? [];
  if (mount.type === 'sysfs' && relaxedTo(expected, 'pci').includes(device)) {
    if (!mount.root.endsWith(`/${device}`)) return `${place} is not what was planned`;
    return mount.readOnly ? null : `${place} can be written`;
  }
  if (paths.length > 0) return `${place} is not planned`;
  return isOwn(mount, state) ? null : `${place} is not planned`;
}

const isNode = (path: string, expected: MachineWalls): boolean =>
  nodesOf(expected).includes(path) || standardNodes[path.replace('/dev/', '')] !== undefined;

/** A file system that the host does not have mounted, where the runtimes mount one; beneath /proc, what masks parts of it. */
function isOwn(mount: Mount, state: ProcessState): boolean {
  if (mount.target.startsWith('/proc/')) {
    const proc = state.mounts.find(({ target }) => target === '/proc');
    const dev = state.mounts.find(({ target }) => target === '/dev');
    return (
      mount.device === proc?.device ||
      mount.type === 'tmpfs' ||
      (mount.device === dev?.device && mount.root === '/null')
    );
  }
  return ownMounts[mount.target]?.includes(mount.type) ?? false;
}

function faultOfPropagation(mount: Mount, state: ProcessState): string | null {
  const shared =
    mount.sharedWith !== null && state.hostMounts.some(({ sharedWith }) => sharedWith === mount.sharedWith);
  return shared ? `what is mounted beneath ${mount.target} appears on the host` : null;
}

/** Directories of the operating system, which hold no data of the host's users. */
const systemDirectories = /^\/(?:usr|lib|lib32|lib64|libx32|bin|sbin)(?:\/|$)/;

function faultsOfForeign(state: ProcessState): string[] {
  return state.mounts.flatMap((mount) => {
    const paths = hostPaths(mount, state.hostMounts);
    const place = `${mount.target} (${paths[0] ?? mount.type})`;
    if (paths.length === 0) return [];
    if (mount.target === '/') return paths.includes('/') ? ["its root is the host's"] : [];
    if (!paths.some((path) => systemDirectories.test(path))) return [`${place} of the host`];
    return mount.readOnly ? [] : [`${place} can be written`];
  });
}
