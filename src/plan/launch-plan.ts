/** The launch plan: everything that a start will do, as data, before anything is done. `qward explain` prints it. */
import type { Fault } from '../definition/fault.ts';
import type { LaunchRequest, SystemPath } from '../protocol/launch.ts';
import type { NetworkDefinition } from '../protocol/networks.ts';
import type { PassthroughFinding } from './passthrough/finding.ts';

export interface LaunchPlan {
  readonly version: 1;
  /** What the broker is asked for. */
  readonly launch: LaunchRequest;
  /** Why the machine gets each host resource, in the order of a reader: descriptors, device nodes, system paths as one. */
  readonly grants: readonly Grant[];
  /** The walls around the process, as the audit will check them. */
  readonly walls: readonly PlannedWall[];
  /** Which accelerator was chosen, and why. */
  readonly accel: { readonly kind: 'kvm' | 'tcg'; readonly reason: string };
  /** Block nodes whose descriptor sets the manager closes after the guest runs (facts: parked sets keep locks). */
  readonly fdsets: readonly number[];
  /** Processes beside QEMU, each in a jail of its own: the user networks of its cards. */
  readonly helpers: readonly NetworkHelper[];
  /** More of them, without which QEMU itself does not come up: its TPM, and what serves its shared folders. */
  readonly beside: readonly SideServerPlan[];
  /** What the user should know and need not act on. */
  readonly notes: readonly string[];
  /** What the machine is given beyond the walls of every machine. */
  readonly relaxations?: readonly PlannedRelaxation[];
  /** What arguments and commands of the user's reach of the host, and by which grant. */
  readonly passthrough?: readonly PassthroughFinding[];
}

/** One host resource in a plan. */
export interface Grant {
  /** Descriptor number in QEMU; null for a device node or a system path. */
  readonly fd: number | null;
  /** What it is for, in the definition's words: `disk root`, `nic lan`, `console`. */
  readonly subject: string;
  /** The host's resource: a path, `bridge br0`, `socket qmp`. */
  readonly resource: string;
  readonly access: 'ro' | 'rw';
  readonly reason: string;
}

/** One row of the wall table (confinement.md) with what this plan expects. */
export interface PlannedWall {
  readonly wall: WallName;
  readonly expected: string;
}

export const wallNames = [
  'uid',
  'groups',
  'capabilities',
  'no-new-privileges',
  'seccomp',
  'root',
  'dev',
  'mount-namespace',
  'pid-namespace',
  'ipc-namespace',
  'uts-namespace',
  'cgroup-namespace',
  'network-namespace',
  'user-namespace',
  'cgroup',
  'device-cgroup',
  'rlimits',
  'descriptors',
  'lsm',
  'guest-devices',
] as const;
export type WallName = (typeof wallNames)[number];

/** What the manager knows of the host when it plans; gathered by manager/host-facts, plain data here. */
export interface HostFacts {
  /** Looked at where the definition has such a card. */
  readonly userNetwork: UserNetworkFacts;
  /** What a card without a kind is joined to; null or absent: passt serves it. */
  readonly defaultBridge?: string | null;
  /** Managed networks of this host; looked at where the definition has a card in one. */
  readonly networks: ManagedNetworkFacts;
  /** Null where there is no binary that the policy lists. */
  readonly qemu: QemuFacts | null;
  /** Whether a guest was proved to run under KVM in this boot; `reason` says how that is known. */
  readonly kvm: { readonly works: boolean; readonly reason: string };
  /** Files that the definition names, by path, as the broker sees them. */
  readonly files: Readonly<Record<string, FileFacts>>;
  /** Uid of the user with whose claim a file is opened, by path; what the policy gives to every machine is not in it. */
  readonly claimants: Readonly<Record<string, number>>;
  readonly uefi: { readonly code: string; readonly varsTemplate: string } | null;
  /** The build that guards its variables, and a template with keys. */
  readonly secureUefi: HostFacts['uefi'];
  /** Directory of the per-machine variable stores. */
  readonly varsDirectory: string;
  /** swtpm and what it needs of the system, looked at where the definition has a TPM; null: there is none that the policy lists. */
  readonly virtiofsd: (NonNullable<HostFacts['swtpm']> & { readonly openFiles: number }) | null;
  readonly swtpm: { readonly binary: string; readonly closure: readonly SystemPath[] } | null;
  readonly vhostNet: boolean;
  /** Ids of optional USB devices that are not there. */
  readonly absentUsb?: readonly string[];
  /** Of an ordinary user's session: a jail without root's part in it. */
  readonly session?: boolean;
  readonly hostMemory: number;
  /** For hardware clocks that show another time than UTC: now, in ms since 1970, and the zone of the host. */
  readonly time: { readonly now: number; readonly zone: string };
}

export interface QemuFacts {
  readonly binary: string;
  readonly version: { readonly major: number; readonly minor: number; readonly micro: number };
  /** What QEMU needs of the system whatever the machine: binary, libraries, loader, ROMs; sorted by target. */
  readonly closure: readonly { readonly source: string; readonly target: string }[];
  /** Modules by name (`accel-tcg-x86_64`, `hw-display-virtio-vga`), each with the paths it adds to the closure. */
  readonly modules: Readonly<Record<string, readonly { readonly source: string; readonly target: string }[]>>;
}

export type FileFacts =
  | {
      readonly ok: true;
      readonly size: number;
      readonly blockDevice?: true;
      readonly worldReadable: boolean;
      /** Parsed from the first bytes, in the manager (never in the broker). */
      readonly image: ImageHeader;
    }
  | { readonly ok: false; readonly fault: Fault };

export interface ImageHeader {
  readonly format: 'raw' | 'qcow2' | 'vmdk' | 'vdi' | 'vhdx' | 'vpc' | 'qed' | 'luks' | 'iso';
  /** Size that the guest sees, bytes; for raw the file's size. */
  readonly virtualSize: number;
  /** The header names a file below it, one that holds its data, or parts of it; a name is empty where the header hides it. */
  readonly references: readonly {
    readonly kind: 'backing file' | 'data file' | 'extent';
    readonly name: string;
  }[];
  /** How many the header says are within it. */
  readonly snapshots: number;
}

export type PlanOutcome =
  | { readonly ok: true; readonly plan: LaunchPlan }
  | { readonly ok: false; readonly faults: readonly Fault[] };

/** Something beyond the walls of every machine that the definition asks for. */
export interface PlannedRelaxation {
  /** `seccomp off`, `file /srv/x (rw)`. */
  readonly what: string;
  /** The key of the definition. */
  readonly key: string;
  readonly reason: string;
  /** Last day; empty: none. */
  readonly until: string;
}

/** What the host has for user networks. */
export interface UserNetworkFacts {
  /** passt and what it needs of the system; null: there is none that the policy lists, and why. */
  readonly passt: { readonly binary: string; readonly closure: readonly SystemPath[] } | null;
  /** Those of the host that a guest can reach. */
  readonly nameServers: readonly string[];
  /** The lowest port that a program without rights may listen on (ip_unprivileged_port_start). */
  readonly firstPort: number;
}

/** What the host has for managed networks. */
export interface ManagedNetworkFacts {
  readonly known: readonly NetworkDefinition[];
  /** dnsmasq, with what it needs of the system; null: there is none that the policy lists, and why. */
  readonly server: { readonly binary: string; readonly closure: readonly SystemPath[] } | null;
}

/** A server beside the machine. */
export interface SideServerPlan {
  /** What it is to the machine. */
  readonly name: 'tpm' | `share ${string}`;
  readonly launch: LaunchRequest;
}

/** The network helper of one card. */
export interface NetworkHelper {
  readonly nic: string;
  readonly launch: LaunchRequest;
}
