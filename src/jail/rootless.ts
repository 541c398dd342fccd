/** The same jail made by an ordinary user: in a user namespace, with what no user can do left out or done otherwise. Pure. */
import type { LaunchRequest } from '../protocol/launch.ts';
import { compileBundle, type JailSite, type OciConfig, type OciMount } from './bundle.ts';

export interface RootlessSite extends JailSite {
  /** What the root directory is to show, bound by the runtime. */
  readonly mounts: readonly OciMount[];
  /** As protocol/rootless.ts has it. */
  readonly threadLimit: boolean;
  /** The user's systemd may weigh I/O too: as a rule it is given memory, threads and CPU alone. */
  readonly ioWeights: boolean;
}

/** runc makes no user namespace without a uid 0 in it; that it is one within gives it nothing, since it has no capability. */
export const uidWithin = 0;

/** `cgroup` of the site empty: none is made, and there are no limits of memory and CPU. */
export function compileRootless(launch: LaunchRequest, site: RootlessSite): OciConfig {
  const { process, linux, mounts, ...rest } = compileBundle(launch, site);
  const { pids } = launch.limits;
  const threads = site.threadLimit ? [{ type: 'RLIMIT_NPROC', hard: pids, soft: pids }] : [];
  const { cgroupsPath, resources, ...walls } = linux;
  const only = (hostID: number) => [{ containerID: uidWithin, hostID, size: 1 as const }];
  const { annotations, ...plain } = rest;
  const limited = site.cgroup !== '';
  return {
    ...plain,
    ...(limited && annotations !== undefined ? { annotations } : {}),
    process: {
      ...process,
      user: { uid: uidWithin, gid: uidWithin, additionalGids: [] },
      rlimits: [...process.rlimits, ...threads],
    },
    mounts: [...mounts.map(shutDev), ...launch.devices.map(boundNode), ...site.mounts],
    linux: {
      ...walls,
      devices: [],
      namespaces: [...linux.namespaces, { type: 'user' }],
      uidMappings: only(site.uid),
      gidMappings: only(site.gid),
      ...(limited && cgroupsPath !== undefined
        ? { cgroupsPath, resources: site.ioWeights ? resources : withoutIo(resources) }
        : { resources: { devices: resources.devices } }),
    },
  };
}

/** Not among `devices`: crun 1.8 binds those in a mount namespace that no user can unshare ("unshare `CLONE_NEWNS`"). */
const boundNode = (path: string): OciMount => ({
  destination: path,
  type: 'none',
  source: path,
  options: ['bind', 'nosuid', 'noexec'],
});

type Resources = OciConfig['linux']['resources'];

function withoutIo({ unified, ...resources }: Resources): Resources {
  const kept = Object.entries(Object(unified)).filter(([name]) => name !== 'io.weight');
  return { ...resources, unified: Object.fromEntries(kept) };
}

/** In a user namespace /dev would be the process's own to write in; the nodes in it are binds of the host's. */
function shutDev(mount: OciMount): OciMount {
  return mount.destination === '/dev' ? { ...mount, options: [...mount.options, 'ro'] } : mount;
}
