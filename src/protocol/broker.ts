/**
 * The messages between manager and broker. One request, one reply on a connection; each is a 4-byte big-endian length
 * and that many bytes of UTF-8 JSON (`frame.ts`). What is not one of these requests ends the connection unanswered.
 */
import type { PartAction } from './disk-job.ts';
import type { LaterDescriptor, LaunchRequest, SocketName } from './launch.ts';
import type { NetworkDefinition, NetworkState } from './networks.ts';

/** Of requests and answers: every change of either raises it. A broker answers its own version alone, any other with `version-differs`. */
export const protocolVersion = 1 as const;

/** Of the broker's log in an answer: a line begins with the time, the call and the machine. */
export const maxLogLine = 300;
export const maxLogLines = 5000;
/** Of its decisions about machines, and of what users said on the claims' socket. */
export type BrokerLogName = 'broker' | 'claims';
export const brokerLogNames: readonly BrokerLogName[] = ['broker', 'claims'];

/** Enough to tell the formats of images, and with the descriptor in a VMDK too: for a few files at once, else the first. */
export const headSizes = [1024, 12_288] as const;
export type HeadSize = (typeof headSizes)[number];

/** A request is one of these; unknown fields are refused. */
export type BrokerRequest =
  | { readonly v: 1; readonly call: 'launch'; readonly launch: LaunchRequest }
  /** Sends SIGKILL to every process of the machine, waits until the last is gone, and reaps. */
  | { readonly v: 1; readonly call: 'kill'; readonly machine: string }
  /** Removes what a dead machine left: cgroup, runtime state, mounts, sockets. Refused while it runs. */
  | { readonly v: 1; readonly call: 'reap'; readonly machine: string }
  /** Puts the threads of the machine on the CPUs that its launch named. */
  | { readonly v: 1; readonly call: 'pin'; readonly machine: string }
  /** Raw facts of a process for the audit; `pid` of any process only for an administrator's audit. */
  | { readonly v: 1; readonly call: 'inspect'; readonly machine: string }
  | { readonly v: 1; readonly call: 'inspect-pid'; readonly pid: number }
  /** Size, identity and first bytes of files beneath the storage roots. */
  | {
      readonly v: 1;
      readonly call: 'probe';
      /** The machine whose claims count. */
      readonly machine: string;
      readonly paths: readonly FileRequest[];
      /** Of each file, bytes. */
      readonly head: HeadSize;
    }
  /** One more of these for a machine that runs. It comes with the reply (SCM_RIGHTS), for the manager to hand to QEMU; it is what a launch may have. */
  | { readonly v: 1; readonly call: 'open'; readonly machine: string; readonly descriptor: LaterDescriptor }
  /** Every machine that the broker knows of, and what this host gives. */
  | { readonly v: 1; readonly call: 'status' }
  /** The last lines of one of the broker's own logs, from a time (ISO 8601) on, each cut to `maxLogLine` characters. */
  | {
      readonly v: 1;
      readonly call: 'history';
      readonly log: BrokerLogName;
      readonly since: string;
      readonly limit: number;
    }
  /** Gives back the slot of a machine that is no longer defined. Refused while it runs. */
  | { readonly v: 1; readonly call: 'forget'; readonly machine: string }
  /** The machine is no longer started with the host. There is no request to enable that: see protocol/claims.ts. */
  | { readonly v: 1; readonly call: 'autostart-off'; readonly machine: string }
  /** The slot moves with the machine to its new name. Refused while it runs. */
  | { readonly v: 1; readonly call: 'rename'; readonly machine: string; readonly to: string }
  /**
   * An image that the job `machine` makes at `path`, beneath a storage root without `who`. create: an empty file of root's,
   * mode 0600, at `partPath`. publish: it gets the name `path`, which nothing has. discard: it is removed.
   */
  | {
      readonly v: 1;
      readonly call: 'part';
      readonly machine: string;
      readonly path: string;
      readonly action: PartAction;
    }
  /** What lies in a storage root without `who`, or in a directory beneath one. */
  | { readonly v: 1; readonly call: 'list-directory'; readonly path: string };

export interface DirectoryListing {
  /** Regular files and directories; sizes in bytes. */
  readonly entries: readonly {
    readonly name: string;
    readonly directory: boolean;
    readonly size: number;
    readonly allocated: number;
  }[];
  /** There are more than are told. */
  readonly more: boolean;
  /** Of the file system, bytes. */
  readonly free: number;
  readonly total: number;
}

/** Which file it was when it was opened. */
export interface FileIdentity {
  readonly device: number;
  readonly inode: number;
}

/** A file to look at, or to open: as in `Descriptor`. */
export interface FileRequest {
  readonly path: string;
  readonly access: 'ro' | 'rw';
  readonly claimant: number | null;
}

export type BrokerCall = BrokerRequest['call'];

/** Why something was refused: the rule, and what would cure it. */
export interface Refusal {
  /** The code in the error registry. */
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  /** The key of the policy that decides, `storageRoots[1]`, or a name of rules.ts. */
  readonly rule?: string;
}

export type BrokerReply<Result> =
  | { readonly ok: true; readonly result: Result }
  | { readonly ok: false; readonly refusals: readonly Refusal[] };

/** What a session's jail has of its user beside the uid. */
export interface Rootless {
  /** Supplementary groups, which the kernel lets no user drop (user_namespaces(7)). */
  readonly groups: readonly number[];
  /** The one of /dev/kvm, where that is what opens it. */
  readonly kvmGroup: number | null;
}

/** A machine that the broker started and has not reaped yet. */
export interface LaunchedMachine {
  readonly machine: string;
  readonly pid: number;
  /** Field 22 of /proc/PID/stat, clock ticks since boot: tells a pid from its reuse. */
  readonly startTime: number;
  readonly uid: number;
  readonly gid: number;
  /** In a session: what no user can drop of itself. Its uid is the user's, in a user namespace of its own. */
  readonly rootless?: Rootless | undefined;
  /** Path of the cgroup below the mount of each hierarchy; empty: none of its own. */
  readonly cgroup: string;
  readonly runtime: 'crun' | 'runc';
  /** AppArmor's label that the process was given; empty or absent where there is none to give. */
  readonly label?: string;
  /** Unix sockets on which QEMU listens. */
  readonly sockets: Readonly<Partial<Record<SocketName, string>>>;
  /** QEMU's stdout and stderr, a file of at most `logBytes` on a tmpfs of the machine's own. */
  readonly log: string;
  readonly launchedAt: string;
  /** Identity of each file of the request as it was opened, by path; of a USB device's node, by what it is named by. */
  readonly files: Readonly<Record<string, { readonly device: number; readonly inode: number }>>;
  /** What the nodes of its devices are, by path. */
  readonly deviceNumbers?:
    | undefined
    | Readonly<Record<string, { readonly type: 'c' | 'b'; readonly major: number; readonly minor: number }>>;
  /** The request as it was admitted, to audit the process against. */
  readonly launch: LaunchRequest;
  /** Whether the process lives (a zombie does not). */
  readonly alive: boolean;
}

/** A machine that is started with the host. */
export interface Autostart {
  readonly machine: string;
  /** Uid of the administrator who enabled it. */
  readonly by: number;
  /** ISO 8601. */
  readonly at: string;
}

export interface BrokerStatus {
  readonly autostart: readonly Autostart[];
  readonly version: string;
  readonly pid: number;
  /** Null where none works. */
  readonly runtime: 'crun' | 'runc' | null;
  /** Why a runtime that is installed is not used. */
  readonly runtimesRefused: readonly { readonly runtime: string; readonly reason: string }[];
  readonly cgroups: 'v1' | 'v2' | 'hybrid';
  /** Machines are scopes of systemd. */
  readonly scopes?: boolean;
  /** AppArmor's label for QEMU; empty where its profile is not loaded, absent where the host has no AppArmor. */
  readonly label?: string;
  /** Why it is not known; nothing is launched then. */
  readonly labelFault?: { readonly reason: string; readonly cure: string };
  /** What is wrong with the policy file; while anything is, nothing is started. */
  readonly policyFaults: readonly Refusal[];
  readonly uidRange: { readonly base: number; readonly count: number } | null;
  /** What of the host lies in the range and keeps machines from starting. */
  readonly uidRangeOverlaps: readonly string[];
  readonly storageRoots: readonly { readonly path: string; readonly access: 'ro' | 'rw' }[];
  readonly bridges: readonly string[];
  /** Those that administrators made. */
  readonly networks: readonly NetworkState[];
  readonly qemuBinaries: readonly string[];
  readonly machines: readonly LaunchedMachine[];
  readonly slots: readonly { readonly machine: string; readonly uid: number }[];
  /** Capabilities that the broker can have and give, as CapBnd of /proc/PID/status; absent of an older broker. */
  readonly boundingSet?: string;
  /** The broker's own files that are not used, with what that means and what to do. */
  readonly damaged: readonly {
    readonly path: string;
    readonly reason: string;
    readonly cure: string;
    /** The machine whose record it is: it runs, and nothing but `kill` reaches it. */
    readonly unreached?: string;
  }[];
}

export type FileProbe =
  | {
      readonly path: string;
      readonly ok: true;
      readonly size: number;
      readonly blockDevice?: true;
      readonly device: number;
      readonly inode: number;
      /** When its content was last written to, ms since 1970; says nothing of a block device. */
      readonly modifiedMs: number;
      /** The first bytes, at most as many as were asked for, base64. */
      readonly head: string;
      /** Whether any user may read the file. */
      readonly worldReadable: boolean;
    }
  | { readonly path: string; readonly ok: false; readonly refusal: Refusal };

/** Raw facts about a process, no judgement: text of /proc files, and listings that only root can make. */
export interface ProcessFacts {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat, the same before and after all else was read. */
  readonly startTime: number;
  /** Release of the running kernel. */
  readonly kernel: string;
  readonly exe: string;
  readonly cmdline: readonly string[];
  /** /proc/PID/status. */
  readonly status: string;
  /** /proc/PID/task/TID/status of every thread. */
  readonly threads: readonly { readonly tid: number; readonly status: string }[];
  /** Other processes with the same real uid; null: not looked for. */
  readonly sharers: readonly number[] | null;
  readonly limits: string;
  readonly cgroup: string;
  readonly mountinfo: string;
  /** The broker's own, which tells what of the host a mount of the process shows. */
  readonly hostMountinfo: string;
  /** /proc/PID/attr/current; empty where no LSM labels processes. */
  readonly label: string;
  /** Target of each link in /proc/PID/ns, and in those of pid 1 and of the broker. */
  readonly namespaces: Readonly<Record<string, string>>;
  readonly hostNamespaces: Readonly<Record<string, readonly string[]>>;
  /** /proc/PID/uid_map and gid_map: inside, outside, how many (user_namespaces(7)). */
  readonly idMaps?: { readonly uid: string; readonly gid: string };
  /** Target of /proc/PID/root, and whether it is the same directory as the host's. */
  readonly root: {
    readonly target: string;
    readonly sameAsHost: boolean;
    readonly entries: readonly string[];
  };
  /** What stands in the process's /dev. */
  readonly dev: readonly DevEntry[];
  readonly descriptors: readonly OpenDescriptor[];
  /** The Unix sockets among the descriptors, in the tables of the host and of the process's own network namespace. */
  readonly sockets: readonly UnixSocket[];
  /** /proc/PID/net/dev: interfaces of the process's network namespace. */
  readonly netDev: string;
  /** Mapped files (/proc/PID/maps), each once; `/DEVICE:INODE` for a file that is a mount by itself and has no path. */
  readonly mappedFiles: readonly string[];
  /** Files of the process's cgroups by name (`pids.max`, `memory.max`, `devices.list`, …), as far as they exist. */
  readonly cgroupFiles: Readonly<Record<string, string>>;
  /** Device programs in force on the process's v2 cgroup; null: no such cgroup, or the kernel does not tell. */
  readonly devicePrograms: number | null;
  /** Managed networks in which it has cards, each with its tables as nft lists them. */
  readonly networks?: readonly (NetworkDefinition & { readonly tables: string })[];
  /** Of a network helper: the packet filter in force that closes the host to it, as nft(8) lists it; empty: there is none. */
  readonly hostFilter?: string;
}

export interface UnixSocket {
  readonly inode: number;
  /** Where it is bound; an accepted socket has the path of the listening one. Empty: not bound. */
  readonly path: string;
  readonly listening: boolean;
  readonly namespace: 'host' | 'own';
}

export interface DevEntry {
  readonly name: string;
  readonly type: 'char' | 'block' | 'directory' | 'link' | 'other';
  readonly major: number;
  readonly minor: number;
  readonly mode: number;
  readonly uid: number;
}

export interface OpenDescriptor {
  readonly fd: number;
  /** Target of /proc/PID/fd/N. */
  readonly target: string;
  /** `flags` of /proc/PID/fdinfo/N: octal open flags as a number. */
  readonly flags: number;
  readonly device: number;
  readonly inode: number;
  /** File type bits of st_mode (S_IFMT). */
  readonly type: number;
  /** Of a TAP: the name of its device. */
  readonly tap?: string;
}
