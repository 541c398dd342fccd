/** What the walls of a machine must look like on its live process. */
import { hasThreadLimit } from '../protocol/rootless.ts';
import type { LaunchedMachine } from '../protocol/broker.ts';
import { serverCapabilities } from '../protocol/networks.ts';
import {
  relaxations,
  type JailedProgram,
  type LaunchRequest,
  type RelaxableWall,
} from '../protocol/launch.ts';

export interface FileIdentity {
  readonly device: number;
  readonly inode: number;
}

export type Rootless = NonNullable<LaunchedMachine['rootless']>;

/** The walls of one of our machines. */
export interface MachineWalls {
  readonly uid: number;
  readonly gid: number;
  /** Of a session's machine: in a user namespace of its own, with what groups of the user's; null: of the system instance. */
  readonly rootless: Rootless | null;
  readonly runtime: LaunchedMachine['runtime'];
  /** Path of the cgroup below the mount of each hierarchy; empty: none of its own. */
  readonly cgroup: string;
  readonly launch: LaunchRequest;
  /** QEMU's stdout and stderr. */
  readonly log: string;
  readonly sockets: LaunchedMachine['sockets'];
  /** Identity of granted files by path, as far as it was noted when they were opened; the path counts for the others. */
  readonly files: Readonly<Record<string, FileIdentity>>;
  /** Inodes of the sockets without a path that the manager handed over since the start, as far as they may still be open (viewers). */
  readonly handedSockets: readonly number[];
  /** Label of the Linux security module; null: none is planned. */
  readonly label: string | null;
  /** What the nodes of its devices are, by path. */
  readonly deviceNumbers?: LaunchedMachine['deviceNumbers'];
}

/** To what a wall of the machine gives way; empty: it stands, as it does for every process that is not ours. */
export const relaxedTo = (expected: ExpectedWalls, wall: RelaxableWall): readonly string[] =>
  expected === null ? [] : relaxations(expected.launch, wall);

/** Null: a process that is not ours, of which only what holds for every jailed QEMU is expected. */
export type ExpectedWalls = MachineWalls | null;

/** Paths of the device nodes that it was given; those of VFIO groups the broker adds. */
export const nodesOf = (expected: MachineWalls): readonly string[] => [
  ...new Set([
    ...expected.launch.devices,
    ...(relaxedTo(expected, 'pci').length > 0 ? Object.keys(expected.deviceNumbers ?? {}) : []),
  ]),
];

/** Of a session's machine. */
export const isRootless = (expected: ExpectedWalls): boolean => (expected?.rootless ?? null) !== null;

/** Of a session's machine whose threads no cgroup bounds, where the kernel can. */
export const boundsThreads = (expected: ExpectedWalls, kernel: string): boolean =>
  expected !== null && isRootless(expected) && hasThreadLimit(expected, kernel);

/** Image tools, hooks, network helpers and servers beside a machine are no QEMU. */
export const hasNoGuest = (program: JailedProgram): boolean =>
  ['qemu-img', 'hook', 'passt', 'dnsmasq', 'swtpm', 'virtiofsd'].includes(program);

/** It makes walls of its own, behind which it is seen: a user namespace, an empty root, a second filter (passt, isolation.c). */
export const isPasst = (expected: ExpectedWalls): boolean => expected?.launch.program === 'passt';

/** The server of a managed network: it has a user and a network namespace of its own making, and two capabilities over the latter. */
export const isServer = (expected: ExpectedWalls): boolean => expected?.launch.program === 'dnsmasq';

/** The TPM of a machine: nothing of its own but a second filter. */
export const isTpm = (expected: ExpectedWalls): boolean => expected?.launch.program === 'swtpm';

/** The server of a shared folder: root of a user namespace of its own without a capability in it, and of a root that is the folder. */
export const isShare = (expected: ExpectedWalls): boolean => expected?.launch.program === 'virtiofsd';

/** Capabilities in each of the five sets. */
export const capabilitiesOf = (expected: ExpectedWalls): readonly string[] =>
  isServer(expected) ? serverCapabilities : relaxedTo(expected, 'capability');

export interface SinceLaunch {
  readonly files?: Readonly<Record<string, FileIdentity>>;
  readonly handedSockets?: readonly number[];
}

/** From what was asked for, what the broker said, and what the manager did since. */
export function expectedWalls(launched: LaunchedMachine, since: SinceLaunch = {}): MachineWalls {
  const { uid, gid, rootless = null, runtime, cgroup, launch, log, sockets } = launched;
  const { files = {}, handedSockets = [] } = since;
  return {
    uid,
    gid,
    rootless,
    runtime,
    cgroup,
    launch,
    log,
    sockets,
    files,
    handedSockets,
    label: launched.label || null,
    deviceNumbers: launched.deviceNumbers,
  };
}
