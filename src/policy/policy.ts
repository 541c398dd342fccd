/** What the administrator allows: /etc/qward/policy.json, its keys and defaults. */
import type { Relaxed } from '../protocol/launch.ts';

export const policyFile = '/etc/qward/policy.json';

/** Users and groups by name; nobody where both are empty. */
export interface Who {
  readonly users: readonly string[];
  readonly groups: readonly string[];
}

/** What a place of files gives. With `who`, only to machines for which one of these users claimed the file. */
export interface StorageRule {
  readonly access: 'ro' | 'rw';
  readonly who: Who | null;
}

/** The most that the machines of one owner may have together; sizes in bytes; null: no limit. */
export interface Quota {
  readonly who: Who;
  readonly machines: number | null;
  readonly cpus: number | null;
  readonly memory: number | null;
  /** Virtual sizes of writable disks. */
  readonly disk: number | null;
}

/** Ports of the host, both ends included, on some of its addresses; with `who`, for the machines of these users alone. */
export interface ForwardRule {
  readonly addresses: readonly string[];
  readonly from: number;
  readonly to: number;
  readonly who: Who | null;
}

export interface BridgeRule {
  readonly bridge: string;
  readonly who: Who | null;
}

export interface Policy {
  /** The user whose session instance this is, and who administers it; absent in the system instance. */
  readonly session?: number | undefined;
  /** Groups of the system whose members are operators and administrators. */
  readonly groups: { readonly operators: string; readonly administrators: string };
  /** Whether operators have every machine, or those that are granted to them. */
  readonly operate: 'all' | 'granted';
  /** Who may define machines, beside the administrators. */
  readonly define: Who;
  /** The first that names an owner counts; administrators have none. */
  readonly quotas: readonly Quota[];
  /** Whether owners may claim files of their own. */
  readonly ownerClaims: boolean;
  /** Walls that may give way, each to one thing; `machines` null: for any. */
  readonly relaxations: readonly (Relaxed & { readonly machines: readonly string[] | null })[];
  /** Whether a machine may run as uid 0, where a relaxation names such an account. */
  readonly allowRoot: boolean;
  /**
   * Block devices that machines may have as disks, and LVM volume groups all of whose volumes they may have. `rawio`: also by
   * machines that keep CAP_SYS_RAWIO.
   */
  readonly blockDevices: readonly (StorageRule & { readonly path: string; readonly rawio?: boolean })[];
  readonly lvmGroups: readonly (StorageRule & { readonly group: string })[];
  /** Image tools by path: qemu-img. */
  readonly imageTools: readonly string[];
  /** Programs of the administrator's that definitions may name (`hooks`): root's own files, each with a name. */
  readonly hooks: readonly { readonly name: string; readonly path: string }[];
  /** Whether a definition may say `onAuditFailure: warn`. */
  readonly allowAuditWarning: boolean;
  readonly uidRange: { readonly base: number; readonly count: number };
  /** Directories beneath which machines may have files; each path without links. */
  readonly storageRoots: readonly (StorageRule & { readonly path: string })[];
  /** Bridges that machines may be joined to; with `who`, those of these users alone. */
  readonly bridges: readonly BridgeRule[];
  /** What a network card without a kind is joined to; null: passt serves it. */
  readonly defaultBridge: string | null;
  /** Network helpers by path: passt. */
  readonly networkHelpers: readonly string[];
  /** Servers of managed networks by path: dnsmasq. */
  readonly networkServers: readonly string[];
  /** Servers of TPMs by path: swtpm. */
  readonly tpmServers: readonly string[];
  /** Servers of shared folders by path: virtiofsd. */
  readonly shareServers: readonly string[];
  /** Ports of the host that user networks may lead to guests. */
  readonly forwards: readonly ForwardRule[];
  readonly qemuBinaries: readonly string[];
  /** Unix sockets of the host that machines may connect to. */
  readonly sockets: readonly { readonly path: string; readonly who: Who | null }[];
  /** Host devices that a machine may get: /dev/kvm, /dev/vhost-net, and others as nodes in its jail. */
  readonly devices: readonly string[];
  /** The most that one machine may ask for; sizes in bytes. */
  readonly ceilings: {
    readonly memory: number;
    readonly pids: number;
    readonly openFiles: number;
    readonly fileSize: number;
  };
}

const TiB = 1024 ** 4;

const nobody: Who = { users: [], groups: [] };

export const defaultPolicy: Policy = {
  groups: { operators: 'qward-operators', administrators: 'qward-admin' },
  operate: 'all',
  define: nobody,
  quotas: [],
  ownerClaims: true,
  relaxations: [],
  allowRoot: false,
  blockDevices: [],
  lvmGroups: [],
  imageTools: ['/usr/bin/qemu-img'],
  hooks: [],
  allowAuditWarning: false,
  uidRange: { base: 0x7000_0000, count: 65_536 },
  storageRoots: [{ path: '/var/lib/qward/images', access: 'rw', who: null }],
  bridges: [],
  defaultBridge: null,
  networkHelpers: ['/usr/bin/passt', '/usr/bin/passt.avx2'],
  networkServers: ['/usr/sbin/dnsmasq'],
  tpmServers: ['/usr/bin/swtpm'],
  shareServers: ['/usr/lib/qemu/virtiofsd'],
  forwards: [{ addresses: ['127.0.0.1', '::1'], from: 1024, to: 65_535, who: null }],
  qemuBinaries: ['/usr/bin/qemu-system-x86_64'],
  sockets: [],
  devices: ['/dev/kvm', '/dev/vhost-net'],
  ceilings: { memory: 4 * TiB, pids: 4096, openFiles: 4096, fileSize: 64 * TiB },
};

/** An absolute path without control characters, empty, `.` and `..` parts, and no slash at the end. */
export const absolutePath = /^(?:\/(?!\.{1,2}(?:\/|$))[^/\u0000-\u001f\u007f]+)+$/;

/** Whether a path is the directory, or lies beneath it. */
export const isWithin = (path: string, directory: string): boolean =>
  path === directory || path.startsWith(`${directory}/`);

/**
 * The storage roots that hold, or lie in, one of the directories: a manager that was taken over must not reach qward's own
 * state by way of a disk. Pure; paths as `absolutePath` has them.
 */
export function rootsAround(
  { storageRoots }: Pick<Policy, 'storageRoots'>,
  directories: readonly string[],
): { readonly key: string; readonly message: string }[] {
  return storageRoots.flatMap(({ path }, index) => {
    const own = directories.find((directory) => isWithin(directory, path) || isWithin(path, directory));
    if (own === undefined) return [];
    return [
      {
        key: `storageRoots[${index}].path`,
        message: `${path} holds, or lies in, ${own}, which is qward's own`,
      },
    ];
  });
}
