/**
 * What it takes to start one process in its jail: the request that the manager sends and the broker checks, and the
 * form in which a launch plan is kept. Plain, serialisable data. Everything here names *what*; *who* (uid, slot) and
 * *where* (directories, cgroup, sockets) is the broker's alone.
 */
import { capabilities } from './capability-names.ts';

/** Access mode of a descriptor. */
export type Access = 'ro' | 'rw';

/**
 * One inherited descriptor. Its number is 3 + its index in `LaunchRequest.descriptors`, in QEMU as in the request;
 * the arguments refer to these numbers.
 */
export type Descriptor =
  | {
      readonly kind: 'file';
      /** Absolute path: beneath a storage root of the policy, a block device that it names, or a claimed file. */
      readonly path: string;
      readonly access: Access;
      /**
       * Uid of the user who claimed the path for this machine, with whose rights it is opened; null: the policy gives it
       * to every machine.
       */
      readonly claimant: number | null;
      /**
       * True where QEMU takes only a path (-kernel, -initrd): the argument is /proc/self/fd/N, and the descriptor must
       * be one that the machine's uid may open again. A file that others may not open so is shown as the machine's own by a
       * mount of its own (linux/idmapped.ts), or, to be read and where its file system cannot, copied into memory.
       */
      readonly reopened: boolean;
    }
  | {
      /** A Unix stream socket, bound and not listening, on which QEMU listens. */
      readonly kind: 'socket';
      readonly name: SocketName;
    }
  | {
      /** A TAP device, joined to a bridge that the policy lists and gone with its descriptor. */
      readonly kind: 'tap';
      readonly bridge: string;
    }
  | {
      /** A TAP device on a managed network, behind a filter that lets in what bears the card's own addresses. */
      readonly kind: 'card';
      readonly network: string;
      /** Id of the card. */
      readonly nic: string;
      readonly mac: string;
    }
  | {
      /** One more queue of the TAP device that is the descriptor with this number, an earlier one. */
      readonly kind: 'queue';
      readonly of: number;
    }
  | {
      /** /dev/vhost-net, to carry the packets of a TAP in the kernel. */
      readonly kind: 'vhost-net';
    }
  | {
      /**
       * Of a helper: a connection to a socket on which a running machine's QEMU waits for it, of a network card or the TPM. Of virtiofsd: the
       * socket on which it waits for that machine's QEMU. Of QEMU: a connection to that of the virtiofsd with this name.
       */
      readonly kind: 'netdev';
      readonly machine: string;
      readonly socket: HelperSocketName;
    }
  | {
      /** The node of a USB device of the host: the one device of that id, `046d:c52b`, or the one at that port, `1-4.2`. */
      readonly kind: 'usb';
      readonly device: string;
    };

/** What a machine that runs can be given. */
export type LaterDescriptor = Extract<Descriptor, { kind: 'file' | 'tap' | 'card' | 'usb' }>;

/** On which QEMU waits for the network helper of a card. */
export type NetSocketName = `net${number}`;
/** As many as a definition has cards. */
export const netSocketNames: readonly NetSocketName[] = Array.from(
  { length: 32 },
  (_, index) => `net${index}` as const,
);
export type HelperSocketName = NetSocketName | 'tpm' | 'share';
export const helperSocketNames: readonly HelperSocketName[] = [...netSocketNames, 'tpm', 'share'];
export type SocketName = 'qmp' | 'console' | 'agent' | 'runner' | HelperSocketName;
export const socketNames: readonly SocketName[] = ['qmp', 'console', 'agent', 'runner', ...helperSocketNames];

/** A device node made inside the jail, owned by the machine's uid: `/dev/kvm`, or another that the policy lists. */
export type DeviceNode = string;
/** Not in directories of /dev that everybody can write in. */
export const deviceNode =
  /^\/dev\/(?!(?:shm|mqueue|pts|fd)(?:\/|$))[a-zA-Z0-9_:+-][a-zA-Z0-9_.:+-]*(?:\/[a-zA-Z0-9_:+-][a-zA-Z0-9_.:+-]*){0,3}$/;
export const maxDevices = 33;

/** Walls that can give way for one machine, as the policy's `relaxations` name them. */
export const relaxableWalls = [
  'seccomp',
  'syscall',
  'namespace',
  'device-cgroup',
  'user',
  'selinux',
  'apparmor',
  'capability',
  'pci',
  'usb',
] as const;
export type RelaxableWall = (typeof relaxableWalls)[number];

/** One wall that gives way: seccomp `qemu` or `off`, a system call, a namespace, an account, a label, a capability, a PCI device, a USB device. */
export interface Relaxed {
  readonly relax: RelaxableWall;
  readonly to: string;
}
export const relaxedTo = /^[a-zA-Z0-9_./:,@-]{1,255}$/;
export const maxRelaxed = 128;
/** What each may be, where that is a closed set. */
export const relaxedValues: Readonly<Partial<Record<RelaxableWall, readonly string[]>>> = {
  seccomp: ['qemu', 'off'],
  namespace: ['net', 'ipc', 'uts', 'pid', 'cgroup'],
  'device-cgroup': ['off'],
  capability: capabilities,
};

/** Domain, bus, slot and function of a PCI device, as the names in /sys/bus/pci/devices have them. */
export const pciAddress = /^[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/;

/** In place of a USB device: what QEMU needs for those that are attached later, and none of them. */
export const usbReserve = 'reserve';

/** To what a wall gives way; empty: it stands. */
export function relaxations(launch: Pick<LaunchRequest, 'relaxed'>, wall: RelaxableWall): readonly string[] {
  return (launch.relaxed ?? []).flatMap(({ relax, to }) => (relax === wall ? [to] : []));
}

/** CPUs of the host for threads of QEMU: those whose name begins so, and which no earlier pin has. */
export interface Pin {
  readonly thread: string;
  readonly cpus: readonly number[];
}
export const maxPins = 400;
/** A mask of 128 bytes has them. */
export const maxCpu = 1023;

/** A file or directory of the operating system that the jail shows read-only at the same path. */
export interface SystemPath {
  /** Real path on the host beneath /usr, owned by root, not writable by others, no link in it. */
  readonly source: string;
  /** Path in the jail, beneath /usr. */
  readonly target: string;
}

/**
 * A file, directory or Unix socket of the host that the jail shows at its own path, as a mount. state: a directory that the manager made
 * in its own store, for a server beside a machine.
 */
export interface Shown {
  readonly kind: (typeof shownKinds)[number];
  readonly path: string;
  /** Of a socket rw. */
  readonly access: Access;
  /** As of a descriptor. */
  readonly claimant: number | null;
}
export const shownKinds = ['file', 'socket', 'state'] as const;
export const maxShown = 96;

/** Limits of the process: cgroup and rlimits. Sizes in bytes. */
export interface LaunchLimits {
  readonly memory: number;
  readonly pids: number;
  /** cgroup v2 weight, 1 to 10000. */
  readonly cpuWeight: number;
  /** Microseconds of CPU time for each 100,000 µs; null: no quota. */
  readonly cpuQuota: number | null;
  /** cgroup v2 weight, 1 to 10000. */
  readonly ioWeight: number;
  /** RLIMIT_NOFILE. */
  readonly openFiles: number;
  /** RLIMIT_FSIZE. */
  readonly fileSize: number;
}

/**
 * What runs in the jail. qemu: a QEMU that the policy lists. qemu-img: an image tool that it lists. drill: the broker's own
 * prober at `drillProgram`, in the jail of the machine's QEMU. hook: a program of the administrator's that the policy names.
 * passt: the user network of one card of a running machine. dnsmasq: the server of a managed network.
 * swtpm: the TPM of a running machine. virtiofsd: one shared folder of a machine.
 */
export const jailedPrograms = [
  'qemu',
  'qemu-img',
  'drill',
  'hook',
  'passt',
  'dnsmasq',
  'swtpm',
  'virtiofsd',
] as const;
export type JailedProgram = (typeof jailedPrograms)[number];

/** Where the prober stands in its jail. */
export const drillProgram = '/usr/libexec/qward-drill';

export interface LaunchRequest {
  /** Name of the machine; matches `machineNamePattern`. */
  readonly machine: string;
  readonly program: JailedProgram;
  /** One that the policy lists for the program; `drillProgram` for the drill. */
  readonly binary: string;
  /** Arguments after the binary. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly descriptors: readonly Descriptor[];
  readonly devices: readonly DeviceNode[];
  /** What the jail's root shows: QEMU's closure. */
  readonly root: readonly SystemPath[];
  readonly limits: LaunchLimits;
  /** None where it is absent. */
  readonly relaxed?: readonly Relaxed[];
  /** Set by the request `pin`, once QEMU has its threads; none where it is absent. */
  readonly pins?: readonly Pin[];
  /** The same. */
  readonly shown?: readonly Shown[];
}

/** Machine names as the broker admits them (confinement.md, "Rules"). */
export const machineNamePattern = /^[a-z][a-z0-9-]{0,62}$/;

/** Descriptors start here: 0 is /dev/null, 1 and 2 are the machine's log. */
export const firstDescriptor = 3;
/** Descriptors that one launch carries at most. */
export const maxDescriptors = 250;
