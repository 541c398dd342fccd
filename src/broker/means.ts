/**
 * What the broker of the system does as root, and that of a user's session in ways that a user has: the one table in which
 * the two instances differ. Root's ways are root-means.ts, the user's session/user-means.ts.
 */
import type { JailSite, OciConfig, OciMount } from '../jail/bundle.ts';
import type { OpenFile } from '../linux/descriptors.ts';
import type { UserIds } from '../linux/open-as.ts';
import type { FileGrounds } from '../policy/file-rules.ts';
import type { Policy } from '../policy/policy.ts';
import type { Refusal, Rootless } from '../protocol/broker.ts';
import type { Descriptor, LaunchRequest } from '../protocol/launch.ts';
import type { ManagedNetwork } from '../protocol/networks.ts';
import type { HandlerOutcome } from './context.ts';
import type { ShownMount, ShownOutcome } from './open-shown.ts';
import type { MachinePlaces } from './places.ts';
import type { LaunchRecord } from './records.ts';

/** Who the jailed process is, on the host. */
export interface JailIds {
  readonly uid: number;
  readonly gid: number;
  /** The uid that it sees itself as, where that is another. */
  readonly within?: number;
  /** Only in a session: in a user namespace. */
  readonly rootless?: Rootless | undefined;
}

export type FileDescriptor = Extract<Descriptor, { kind: 'file' }>;
export type CardDescriptor = Extract<Descriptor, { kind: 'card' }>;

/** To which process a file is given. */
export interface FileGiving {
  readonly ids: JailIds;
  readonly budget: CopyBudget;
  /** Paths that the same launch gives to be written. */
  readonly written: ReadonlySet<string>;
}

/** SECURITY: promise 1. What a launch may still copy: 250 sparse files would otherwise be 125 GiB of memory. */
export interface CopyBudget {
  left: number;
}

export interface JailRoot {
  readonly directory: string;
  readonly mounts: readonly OciMount[];
}

export type JailRootOutcome =
  | ({ readonly ok: true } & JailRoot)
  | { readonly ok: false; readonly refusals: readonly Refusal[] };

export interface Means {
  /** Of an ordinary user's session. */
  readonly isSession: boolean;
  /** The machine's, or why it gets none. */
  readonly takeIds: (machine: string, policy: Policy) => JailIds | Extract<HandlerOutcome, { ok: false }>;
  /** Of the trial of a runtime. */
  readonly trialIds: () => JailIds;
  /** What the jail shows of the host at its own paths; `uid` is the machine's. The caller closes the mounts. */
  readonly openShown: (launch: LaunchRequest, grounds: FileGrounds, uid: number) => Promise<ShownOutcome>;
  /** The directory that shows a jail's root, and what the runtime is to mount in it. In a bundle that is there. */
  readonly openRoot: (
    launch: Pick<LaunchRequest, 'machine' | 'root' | 'program' | 'shown'>,
    shown: readonly ShownMount[],
  ) => JailRootOutcome;
  /** Once the runtime has made the jail, or not. */
  readonly leaveRoot: (root: JailRoot, shown: readonly ShownMount[]) => void;
  /** What the OCI runtime is told. */
  readonly compile: (launch: LaunchRequest, site: JailSite, root: JailRoot) => OciConfig;
  /** With what the runtime finds a user's own systemd. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
  /** Removes what is kept beside machines. */
  readonly close: () => void;
  /** For the machine's sockets and log. */
  readonly makeDirectory: (places: MachinePlaces) => void;
  readonly removeDirectory: (places: MachinePlaces) => void;
  /** The log stays the manager's to read, whatever the runtime made of it. */
  readonly keepLog: (fd: number, uid: number) => void;
  /** Runs `act`, which opens files, with the rights of the user who claimed them. */
  readonly withRightsOf: <Result>(user: UserIds, act: () => Result) => Result;
  /** A descriptor of the opened file, which it takes over, that the process can open again as it is meant to and no wider. */
  readonly giveFile: (
    file: FileDescriptor,
    opened: OpenFile,
    giving: FileGiving,
  ) => number | Refusal | Promise<number | Refusal>;
  /** Whether a process of the machine is there, whatever its record says. */
  readonly runs: (machine: string) => boolean;
  /** Kills every process of the machine; false where one did not end in time. */
  readonly end: (machine: string, record: LaunchRecord | undefined) => Promise<boolean>;
  /** Closes the host to user networks, whose passt is in its network namespace; why it cannot. */
  readonly closeHost: (range: Policy['uidRange']) => readonly Refusal[];
  /** There is none any more. */
  readonly openHost: () => void;
  /** What closes it to the passt with this uid, as it is in force, loaded again where it was gone; empty: nothing does. */
  readonly listFilter: (uid: number) => string;
  /** A TAP for a card of the machine on a managed network, which is brought up; why there is none. */
  readonly openCard: (machine: string, card: CardDescriptor, multiQueue: boolean) => number | Refusal;
  /** Joins the server that has just begun to its network; why not. */
  readonly joinServer: (
    network: ManagedNetwork,
    server: Pick<LaunchRecord, 'pid' | 'startTime'>,
  ) => Promise<readonly Refusal[]>;
  /** Tables of the network with its definition, as they are in force, loaded again where they were gone. */
  readonly listNetwork: (network: ManagedNetwork) => string;
  /** Names of managed networks that are there. */
  readonly networksUp: () => readonly string[];
  /** Nothing is left of it on the host. */
  readonly takeDown: (network: string) => void;
}
