/** The walls of a plan, in the words of the audit. */
import { relaxations, type LaunchRequest } from '../protocol/launch.ts';
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

function seccompWall(launch: LaunchRequest): string {
  const [mode] = relaxations(launch, 'seccomp');
  if (mode === 'off') return 'no filter';
  if (mode === 'qemu') return "QEMU's own four denials, on every thread";
  const calls = relaxations(launch, 'syscall');
  const more = calls.length === 0 ? '' : ` with ${calls.join(', ')} as well`;
  return `filter "qemu"${more} and QEMU's own four denials, on every thread`;
}

export function planWalls(launch: LaunchRequest, session = false): readonly PlannedWall[] {
  const { limits } = launch;
  const cpu = limits.cpuQuota === null ? 'no quota' : `quota ${limits.cpuQuota} µs in 100000 µs`;
  const own = "own, not the host's";
  const nodes = launch.devices.map((node) => node.replace('/dev/', ''));
  const last = 2 + launch.descriptors.length;
  const devices = guestDevices(launch.argv);
  const shown = (launch.shown ?? []).length;
  const [ofUser] = relaxations(launch, 'user');
  const capabilities = relaxations(launch, 'capability');
  const openDevices = relaxations(launch, 'device-cgroup').length > 0;
  const [label] = [...relaxations(launch, 'selinux'), ...relaxations(launch, 'apparmor')];
  const hosts = relaxations(launch, 'namespace');
  const namespace = (name: string, otherwise = own): string =>
    hosts.includes(name) ? "the host's" : otherwise;
  const expected: Readonly<Record<WallName, string>> = {
    uid:
      ofUser !== undefined
        ? `those of the account "${ofUser}"`
        : 'real, effective, saved and file system uid and gid: one for this machine alone, chosen by the broker',
    groups: 'none',
    capabilities:
      capabilities.length === 0
        ? 'inheritable, permitted, effective, bounding and ambient sets empty'
        : `${capabilities.join(', ')} in all five sets, and no other`,
    'no-new-privileges': '1',
    seccomp: seccompWall(launch),
    root: `a tree of its own with ${launch.root.length} read-only paths of QEMU's${shown === 0 ? '' : `, and ${shown} of the host at their own paths`}`,
    dev: [...runtimeNodes, ...nodes].join(', '),
    'mount-namespace': own,
    'pid-namespace': namespace('pid'),
    'ipc-namespace': namespace('ipc'),
    'uts-namespace': namespace('uts'),
    'cgroup-namespace': namespace('cgroup'),
    'network-namespace': namespace('net', `${own}; no interface but lo`),
    'user-namespace': "the host's: in one of its own the device nodes would belong to nobody",
    cgroup: `memory ${limits.memory}, pids ${limits.pids}, cpu weight ${limits.cpuWeight}, ${cpu}, io weight ${limits.ioWeight}`,
    'device-cgroup': openDevices
      ? 'every device'
      : `nothing but ${[...runtimeNodes, ...nodes].join(', ')}, and what the runtime always adds`,
    rlimits: `${launch.pins === undefined ? '' : 'threads on their CPUs; '}core 0, msgqueue 0, memlock 0, nofile ${limits.openFiles}, fsize ${limits.fileSize}`,
    descriptors: `0 /dev/null, 1 and 2 the log, 3 to ${last} as granted, and what QEMU makes itself`,
    lsm:
      label !== undefined ? `label ${label}` : 'a label of its own where this host has SELinux or AppArmor',
    'guest-devices': devices.length === 0 ? 'none beside the board' : devices.join(', '),
  };
  const cgroup = `where your own systemd manages your slice: ${expected.cgroup}`;
  const told = session ? { ...expected, ...ofSession, cgroup } : expected;
  return wallNames.map((wall) => ({ wall, expected: told[wall] }));
}
