/** The walls of a plan, in the words of the audit. */
import type { LaunchRequest } from '../protocol/launch.ts';
import { wallNames, type PlannedWall, type WallName } from './launch-plan.ts';

/** Nodes that every OCI runtime makes in /dev. */
const runtimeNodes = ['null', 'zero', 'full', 'random', 'urandom', 'tty'] as const;

/** Names of the drivers in the plan, each once, in the order of the command line. */
function guestDevices(argv: readonly string[]): readonly string[] {
  const names = argv
    .filter((_, index) => argv[index - 1] === '-device')
    .map((device) => /"driver":"([^"]+)"/.exec(device)?.[1] ?? device);
  return [...new Set(names)];
}

/** What a session's jail has otherwise: a user can make no node, drop no group, and limits only where the slice is delegated. */
const ofSession: Readonly<Partial<Record<WallName, string>>> = {
  uid: 'real, effective, saved and file system uid and gid: yours, as of every machine of yours, each in a user namespace of its own',
  groups: 'none, or that of /dev/kvm; what other groups you have no user can drop',
  'user-namespace': "own, not the host's: no capability in it, none to be had",
  'device-cgroup': 'none: no user can set one; its /dev has no other node, and none can be made',
};

export function planWalls(launch: LaunchRequest, session = false): readonly PlannedWall[] {
  const { limits } = launch;
  const cpu = limits.cpuQuota === null ? 'no quota' : `quota ${limits.cpuQuota} µs in 100000 µs`;
  const own = "own, not the host's";
  const nodes = launch.devices.map((node) => node.replace('/dev/', ''));
  const last = 2 + launch.descriptors.length;
  const devices = guestDevices(launch.argv);
  const expected: Readonly<Record<WallName, string>> = {
    uid: 'real, effective, saved and file system uid and gid: one for this machine alone, chosen by the broker',
    groups: 'none',
    capabilities: 'inheritable, permitted, effective, bounding and ambient sets empty',
    'no-new-privileges': '1',
    seccomp: `filter "qemu" and QEMU's own four denials, on every thread`,
    root: `a tree of its own with ${launch.root.length} read-only paths of QEMU's`,
    dev: [...runtimeNodes, ...nodes].join(', '),
    'mount-namespace': own,
    'pid-namespace': own,
    'ipc-namespace': own,
    'uts-namespace': own,
    'cgroup-namespace': own,
    'network-namespace': `${own}; no interface but lo`,
    'user-namespace': "the host's: in one of its own the device nodes would belong to nobody",
    cgroup: `memory ${limits.memory}, pids ${limits.pids}, cpu weight ${limits.cpuWeight}, ${cpu}, io weight ${limits.ioWeight}`,
    'device-cgroup': `nothing but ${[...runtimeNodes, ...nodes].join(', ')}, and what the runtime always adds`,
    rlimits: `core 0, msgqueue 0, memlock 0, nofile ${limits.openFiles}, fsize ${limits.fileSize}`,
    descriptors: `0 /dev/null, 1 and 2 the log, 3 to ${last} as granted, and what QEMU makes itself`,
    lsm: 'a label of its own where this host has SELinux or AppArmor',
    'guest-devices': devices.length === 0 ? 'none beside the board' : devices.join(', '),
  };
  const cgroup = `where your own systemd manages your slice: ${expected.cgroup}`;
  const told = session ? { ...expected, ...ofSession, cgroup } : expected;
  return wallNames.map((wall) => ({ wall, expected: told[wall] }));
}
