/** The walls of confinement, in the order of a reader: how each is named, and how it is compared with the live process. */
import { wallNames, type WallName } from '../plan/launch-plan.ts';
import {
  boundsThreads,
  capabilitiesOf,
  isPasst,
  isRootless,
  isServer,
  isShare,
  isTpm,
  relaxedTo,
  type ExpectedWalls,
  type MachineWalls,
  nodesOf,
} from './expected-walls.ts';
import type { Finding } from './finding.ts';
import type { ProcessState } from './process-state.ts';
import { compareCgroup, compareDeviceCgroup } from './wall-cgroup.ts';
import { compareDescriptors } from './wall-descriptors.ts';
import { compareDev } from './wall-dev.ts';
import { compareGuestDevices } from './wall-guest-devices.ts';
import {
  compareCapabilities,
  compareGroups,
  compareNoNewPrivileges,
  compareSeccomp,
  compareUid,
  filtersOf,
} from './wall-identity.ts';
import { compareLsm } from './wall-lsm.ts';
import { compareNamespace, compareNetwork, compareUserNamespace } from './wall-namespaces.ts';
import { compareRlimits } from './wall-rlimits.ts';
import { compareRoot } from './wall-root.ts';

export interface Wall {
  readonly title: string;
  /** Every host can give it, so a process without it is a fault. */
  readonly mandatory: boolean | ((expected: ExpectedWalls) => boolean);
  readonly describe: (expected: ExpectedWalls) => string;
  readonly compare: (state: ProcessState, expected: ExpectedWalls) => Finding;
}

function shownOf({ launch: { shown = [] } }: MachineWalls): string {
  return shown.length === 0
    ? ''
    : `, and ${shown.map(({ path, access }) => `${path} (${access})`).join(', ')}`;
}

/** What is expected where the kernel can. */
const anyKernel = '6';

const ownNamespace = (title: string, key: 'mnt' | 'pid' | 'ipc' | 'uts' | 'cgroup'): Wall => ({
  title,
  mandatory: true,
  describe: (expected) => (relaxedTo(expected, 'namespace').includes(key) ? "the host's" : 'its own'),
  compare: compareNamespace(key),
});

export const wallTable: Readonly<Record<WallName, Wall>> = {
  uid: {
    title: 'user and group',
    mandatory: true,
    describe: (expected) =>
      expected === null
        ? 'not root, shared with no other process'
        : `uid ${expected.uid}, gid ${expected.gid}, all four${expected.rootless === null ? '' : ': yours, as of every machine of yours'}`,
    compare: compareUid,
  },
  groups: {
    title: 'supplementary groups',
    mandatory: (expected) => !isRootless(expected),
    describe: (expected) => (isRootless(expected) ? 'none, or that of /dev/kvm' : 'none'),
    compare: compareGroups,
  },
  capabilities: {
    title: 'capabilities',
    mandatory: true,
    describe: (expected) => {
      if (isShare(expected)) return 'none that it serves with, in its own user namespace';
      if (isPasst(expected)) return 'four sets empty; the bounding set of its own user namespace';
      const names = capabilitiesOf(expected);
      const within = isServer(expected) ? ', in its own user namespace' : '';
      return names.length === 0 ? 'all five sets empty' : `all five sets ${names.join(' ')}${within}`;
    },
    compare: compareCapabilities,
  },
  'no-new-privileges': {
    title: 'no new privileges',
    mandatory: true,
    describe: () => 'set on every thread',
    compare: compareNoNewPrivileges,
  },
  seccomp: {
    title: 'system call filter',
    mandatory: true,
    describe: (expected) =>
      ['no filter', 'a filter on every thread', 'two filters on every thread'][filtersOf(expected)] ?? '',
    compare: compareSeccomp,
  },
  root: {
    title: 'root directory',
    mandatory: true,
    describe: (expected) =>
      expected === null
        ? "its own, nothing of the host's data"
        : isPasst(expected)
          ? 'its own, an empty file system, read-only'
          : isShare(expected)
            ? `its folder ${folderOf(expected)?.path ?? ''}, and nothing else`
            : `its own, ${expected.launch.root.length} read-only paths of the system${shownOf(expected)}`,
    compare: compareRoot,
  },
  dev: {
    title: 'device nodes',
    mandatory: true,
    describe: (expected) => {
      const granted = expected === null ? [] : nodesOf(expected);
      return granted.length === 0 ? 'standard nodes' : `standard nodes and ${granted.join(', ')}`;
    },
    compare: compareDev,
  },
  'mount-namespace': ownNamespace('mount namespace', 'mnt'),
  'pid-namespace': ownNamespace('process namespace', 'pid'),
  'ipc-namespace': ownNamespace('IPC namespace', 'ipc'),
  'uts-namespace': ownNamespace('host name namespace', 'uts'),
  'cgroup-namespace': ownNamespace('cgroup namespace', 'cgroup'),
  'network-namespace': {
    title: 'network namespace',
    mandatory: (expected) => !(isPasst(expected) && isRootless(expected)),
    describe: (expected) =>
      isPasst(expected)
        ? "the host's, with a packet filter that closes the host to this uid"
        : isServer(expected)
          ? 'its own, only lo and the link to its network'
          : relaxedTo(expected, 'namespace').includes('net')
            ? "the host's"
            : 'its own, only lo',
    compare: compareNetwork,
  },
  'user-namespace': {
    title: 'user namespace',
    mandatory: (expected) =>
      isRootless(expected) || isPasst(expected) || isServer(expected) || isShare(expected),
    describe: (expected) => {
      if (expected === null) return "its own or the host's";
      if (isPasst(expected)) return 'its own, which passt makes';
      if (isServer(expected) || isShare(expected)) return 'its own, made in the jail';
      return isRootless(expected) ? 'its own' : "the host's, as in every system instance";
    },
    compare: compareUserNamespace,
  },
  cgroup: {
    title: 'cgroup and its limits',
    mandatory: false,
    describe: (expected) =>
      expected === null
        ? 'its own, with limits of memory and processes'
        : `${expected.cgroup || 'its own'}: ${Math.round(expected.launch.limits.memory / 1024 ** 2)} MiB, ${expected.launch.limits.pids} threads`,
    compare: compareCgroup,
  },
  'device-cgroup': {
    title: 'device allow-list',
    mandatory: false,
    describe: (expected) =>
      relaxedTo(expected, 'device-cgroup').length > 0
        ? 'every device'
        : ['standard nodes', ...(expected === null ? [] : nodesOf(expected))].join(', '),
    compare: compareDeviceCgroup,
  },
  rlimits: {
    title: 'resource limits',
    mandatory: true,
    describe: (expected) =>
      expected === null
        ? 'no core file; message queues, locked memory and open files bounded'
        : `${(expected.launch.pins ?? []).length === 0 ? '' : 'threads on their CPUs; '}no core file, message queue or locked memory; ${boundsThreads(expected, anyKernel) ? `${expected.launch.limits.pids} threads, ` : ''}${expected.launch.limits.openFiles} open files, files of ${expected.launch.limits.fileSize} bytes`,
    compare: compareRlimits,
  },
  descriptors: {
    title: 'descriptors',
    mandatory: true,
    describe: (expected) =>
      expected === null
        ? 'what its arguments name'
        : isPasst(expected)
          ? 'a connection to QEMU, the log, and its own connections'
          : isShare(expected)
            ? 'a connection to QEMU, files of its folder, the memory of the guest, and the log'
            : isTpm(expected)
              ? 'two connections to QEMU, its state, and the log'
              : isServer(expected)
                ? 'the log, and sockets of its own network namespace'
                : `the ${expected.launch.descriptors.length} planned, the log, and what QEMU makes for itself`,
    compare: compareDescriptors,
  },
  lsm: {
    title: 'security module',
    mandatory: false,
    describe: (expected) => expected?.label ?? 'a label, where the host has a module',
    compare: compareLsm,
  },
  'guest-devices': {
    title: "QEMU's own arguments",
    mandatory: true,
    describe: (expected) =>
      `${expected === null ? '' : 'as planned; '}no defaults, four denials, no user network, no floppy, nothing nested`,
    compare: compareGuestDevices,
  },
};

const folderOf = (expected: ExpectedWalls) => (expected?.launch.shown ?? [])[0];

/** The walls in the order of `wallNames`. */
export function listWalls(): readonly (Wall & { readonly wall: WallName })[] {
  return wallNames.map((wall) => ({ wall, ...wallTable[wall] }));
}
