/** What a definition asks for beyond the walls of every machine, flat: each with its place, its reason and its last day. */
import type { KeyPath } from './key-path.ts';
import type { MachineDefinition } from './schema.ts';

/** Walls that give way; the names are those of the policy's `relaxations`. */
export type RelaxedWall =
  | 'seccomp'
  | 'syscall'
  | 'namespace'
  | 'device-cgroup'
  | 'user'
  | 'selinux'
  | 'apparmor'
  | 'capability'
  | 'pci'
  | 'usb';

export interface Relaxation {
  /** file, device, socket: something of the host that is reached; else a wall. */
  readonly relax: RelaxedWall | 'file' | 'device' | 'socket';
  /** To what: `off`, `net`, `sys_rawio`, a path. */
  readonly to: string;
  /** Of a file. */
  readonly access?: 'ro' | 'rw';
  readonly path: KeyPath;
  readonly reason?: string | undefined;
  /** The last day, `2027-01-31`. */
  readonly until?: string | undefined;
}

interface Why {
  readonly reason?: string | undefined;
  readonly until?: string | undefined;
}

type Confinement = MachineDefinition['confinement'];
type Disks = readonly {
  readonly rawio?: boolean | undefined;
  readonly aio: MachineDefinition['disks'][number]['aio'];
}[];

/** Linux's asynchronous I/O; the user's half of libaio reads what is done without a call where it can. */
const aioCalls = ['io_setup', 'io_submit', 'io_getevents', 'io_destroy'];

/** What libpulse is of no use without: its thread is woken by a pipe, its locks inherit priorities, and it says who it is. */
const soundCalls = ['futex', 'pipe2', 'sendto', 'getuid', 'getgid'];

const namespaceNames = ['net', 'ipc', 'uts', 'pid', 'cgroup'] as const;

const whyOf = (value: string | Why): Why =>
  typeof value === 'string' ? {} : { reason: value.reason, until: value.until };

/** Every one, in the order of the definition; reading and being asked are no relaxations. */
export function relaxationsOf(definition: {
  readonly confinement: Confinement;
  readonly rawio: MachineDefinition['rawio'];
  readonly disks: Disks;
  readonly memoryBacking: MachineDefinition['memoryBacking'];
  readonly numa: MachineDefinition['numa'];
  readonly vsock?: MachineDefinition['vsock'];
  readonly sound?: MachineDefinition['sound'];
  readonly hostDevices: MachineDefinition['hostDevices'];
  readonly hotplug?: Pick<MachineDefinition['hotplug'], 'usb'>;
}): readonly Relaxation[] {
  const { confinement, rawio, disks, memoryBacking, numa, vsock, sound, hostDevices, hotplug } = definition;
  return [
    ...disks.flatMap((disk, index) =>
      disk.rawio === true ? [one('capability', 'sys_rawio', ['disks', index, 'rawio'], {})] : [],
    ),
    ...disks.flatMap((disk, index) =>
      disk.aio === 'native' ? aioCalls.map((call) => one('syscall', call, ['disks', index, 'aio'], {})) : [],
    ),
    ...(memoryBacking.hugePages === 'none'
      ? []
      : [one('syscall', 'memfd_create', ['memoryBacking', 'hugePages'], {})]),
    ...(memoryBacking.hostNodes === undefined
      ? []
      : [one('syscall', 'mbind', ['memoryBacking', 'hostNodes'], {})]),
    ...numa.flatMap(({ hostNodes }, index) =>
      hostNodes === undefined ? [] : [one('syscall', 'mbind', ['numa', index, 'hostNodes'], {})],
    ),
    ...(vsock === undefined ? [] : [one('device', '/dev/vhost-vsock', ['vsock'], {})]),
    ...(sound?.server === undefined
      ? []
      : [
          one('socket', sound.server, ['sound', 'server'], {}),
          ...soundCalls.map((call) => one('syscall', call, ['sound', 'server'], {})),
        ]),
    ...hostDevices.flatMap((device, index) =>
      (['pci', 'usb'] as const).flatMap((bus) => {
        const to = device[bus];
        return to === undefined ? [] : [one(bus, to, ['hostDevices', index, bus], whyOf(device))];
      }),
    ),
    ...(hotplug?.usb === true ? [one('usb', 'reserve', ['hotplug', 'usb'], {})] : []),
    ...(rawio === 'reserve' ? [one('capability', 'sys_rawio', ['rawio'], {})] : []),
    ...reachedBy(confinement),
    ...filterOf(confinement),
    ...namespaceNames.flatMap((name) =>
      confinement.namespaces[name] === undefined
        ? []
        : [one('namespace', name, ['confinement', 'namespaces', name], whyOf(confinement.namespaces))],
    ),
    ...wordsOf(confinement),
    ...confinement.capabilities.map((value, index) =>
      one(
        'capability',
        typeof value === 'string' ? value : value.name,
        ['confinement', 'capabilities', index],
        whyOf(value),
      ),
    ),
  ];
}

function one(relax: Relaxation['relax'], to: string, path: KeyPath, why: Why): Relaxation {
  return { relax, to, path, ...why };
}

function reachedBy({ files, devices, sockets }: Confinement): readonly Relaxation[] {
  return [
    ...files.map((file, index): Relaxation => ({
      ...one('file', file.path, ['confinement', 'files', index], whyOf(file)),
      access: file.access,
    })),
    ...devices.map((value, index) =>
      one(
        'device',
        typeof value === 'string' ? value : value.path,
        ['confinement', 'devices', index],
        whyOf(value),
      ),
    ),
    ...sockets.map((value, index) =>
      one(
        'socket',
        typeof value === 'string' ? value : value.path,
        ['confinement', 'sockets', index],
        whyOf(value),
      ),
    ),
  ];
}

function filterOf({ seccomp }: Confinement): readonly Relaxation[] {
  const { mode, allow } = typeof seccomp === 'string' ? { mode: seccomp, allow: [] } : seccomp;
  const why = whyOf(seccomp);
  const path = ['confinement', 'seccomp'];
  return [
    ...(mode === 'strict' ? [] : [one('seccomp', mode, path, why)]),
    // Without a filter of ours every call is allowed by it.
    ...(mode === 'strict' ? allow.map((name) => one('syscall', name, path, why)) : []),
  ];
}

function wordsOf({ deviceCgroup, user, selinux, apparmor }: Confinement): readonly Relaxation[] {
  const mode = typeof deviceCgroup === 'string' ? deviceCgroup : deviceCgroup.mode;
  const words = [
    ['device-cgroup', 'deviceCgroup', mode === 'off' ? 'off' : undefined, deviceCgroup],
    ['user', 'user', typeof user === 'object' ? user.name : user, user],
    ['selinux', 'selinux', typeof selinux === 'object' ? selinux.label : selinux, selinux],
    ['apparmor', 'apparmor', typeof apparmor === 'object' ? apparmor.profile : apparmor, apparmor],
  ] as const;
  return words.flatMap(([relax, key, to, value]) =>
    to === undefined || value === undefined ? [] : [one(relax, to, ['confinement', key], whyOf(value))],
  );
}

/** What a machine has beyond the walls of every machine, in words, each once: `seccomp off`, `passthrough`. */
export function beyondWalls(
  definition: Parameters<typeof relaxationsOf>[0] & Pick<MachineDefinition, 'qemu'>,
): readonly string[] {
  const { args, env, qmp } = definition.qemu;
  const passes = args.length + env.length + qmp.length > 0;
  return [...new Set([...relaxationsOf(definition).map(relaxationText), ...(passes ? ['passthrough'] : [])])];
}

/** In the words of `list` and of the history: `seccomp off`, `file /srv/x (rw)`. */
export function relaxationText({ relax, to, access }: Relaxation): string {
  return `${relax} ${to}${access === 'rw' ? ' (rw)' : ''}`;
}
