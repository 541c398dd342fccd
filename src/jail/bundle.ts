/**
 * Launch request → OCI runtime configuration (https://github.com/opencontainers/runtime-spec/blob/v1.0.2/config.md).
 * Pure: who the machine is and where things lie comes in as arguments.
 */
import {
  relaxations,
  type DeviceNode,
  type JailedProgram,
  type LaunchLimits,
  type LaunchRequest,
} from '../protocol/launch.ts';
import { serverBeginner } from '../protocol/networks.ts';
import { shareBeginner } from '../protocol/side-servers.ts';
import { labelsIn } from './apparmor.ts';
import { capabilitiesOf, filterOf, namespacesOf, type CapabilitySets } from './relaxations.ts';
import type { OciSeccomp, SeccompProfile } from './seccomp.ts';

/** What the broker adds to a request: identity and places. */
export interface JailSite {
  readonly uid: number;
  readonly gid: number;
  /** Directory on the host that shows the system paths of the request, each bound read-only, and nothing else. */
  readonly rootDirectory: string;
  /** cgroup below the mount of each hierarchy, `/qward/web1`; a scope of systemd, `qward.slice:qward:web1`. */
  readonly cgroup: string;
  readonly cgroups: 'v1' | 'v2' | 'hybrid';
  readonly runtime?: string;
  /** As apparmor.ts has it. */
  readonly label?: string | undefined;
  readonly deviceNumbers: Readonly<
    Record<DeviceNode, { readonly type: 'c' | 'b'; readonly major: number; readonly minor: number }>
  >;
}

/** The filter of each program; the drill tries what the machine's QEMU could. */
const profileOf: Readonly<Record<JailedProgram, SeccompProfile>> = {
  qemu: 'qemu',
  'qemu-img': 'qemu-img',
  drill: 'qemu',
  hook: 'hook',
  passt: 'passt',
  dnsmasq: 'dnsmasq',
  swtpm: 'swtpm',
  virtiofsd: 'virtiofsd',
};

/** What begins a program, and makes what the runtime cannot. */
export const beginnersOf: Readonly<Partial<Record<JailedProgram, readonly string[]>>> = {
  dnsmasq: serverBeginner,
  virtiofsd: shareBeginner,
};

const quotaPeriod = 100_000;

interface OciDeviceRule {
  readonly allow: boolean;
  readonly access: string;
  readonly type?: 'c' | 'b';
  readonly major?: number;
  readonly minor?: number;
}

export interface OciMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

interface IdMapping {
  readonly containerID: number;
  readonly hostID: number;
  readonly size: 1;
}

/** The part of the runtime specification that qward uses. */
export interface OciConfig {
  readonly ociVersion: '1.0.2';
  readonly hostname?: string;
  readonly process: {
    readonly terminal: false;
    readonly user: { readonly uid: number; readonly gid: number; readonly additionalGids: readonly number[] };
    readonly args: readonly string[];
    readonly env: readonly string[];
    readonly cwd: '/';
    readonly capabilities: CapabilitySets;
    readonly rlimits: readonly { readonly type: string; readonly hard: number; readonly soft: number }[];
    readonly noNewPrivileges: true;
    readonly apparmorProfile?: string;
    readonly selinuxLabel?: string;
  };
  readonly root: { readonly path: string; readonly readonly: true };
  readonly annotations?: Readonly<Record<string, string>>;
  readonly mounts: readonly OciMount[];
  readonly linux: {
    readonly namespaces: readonly { readonly type: string }[];
    readonly rootfsPropagation: 'private' | 'rslave';
    readonly cgroupsPath?: string;
    readonly uidMappings?: readonly IdMapping[];
    readonly gidMappings?: readonly IdMapping[];
    readonly devices: readonly object[];
    readonly resources: { readonly devices: readonly OciDeviceRule[] } & Readonly<Record<string, unknown>>;
    readonly maskedPaths?: readonly string[];
    readonly readonlyPaths?: readonly string[];
    readonly seccomp?: OciSeccomp;
  };
}

export function compileBundle(launch: LaunchRequest, site: JailSite): OciConfig {
  const nodes = launch.devices.map((path) => ({ path, ...deviceNumbers(path, site) }));
  const namespaces = namespacesOf(launch);
  const seccomp = filterOf(launch, profileOf[launch.program]);
  return {
    ociVersion: '1.0.2',
    ...(namespaces.some(({ type }) => type === 'uts') ? { hostname: launch.machine } : {}),
    process: {
      terminal: false,
      // SECURITY: promise 2. The machine's own uid and gid, no other group, before QEMU's first instruction.
      user: { uid: site.uid, gid: site.gid, additionalGids: [] },
      args: [...(beginnersOf[launch.program] ?? []), launch.binary, ...launch.argv],
      env: Object.entries(launch.env).map(([name, value]) => `${name}=${value}`),
      cwd: '/',
      // SECURITY: promise 2. All five sets empty, unless a relaxation names a capability.
      capabilities: capabilitiesOf(launch),
      rlimits: compileRlimits(launch),
      // SECURITY: promise 2. No set-uid file gives anything back.
      noNewPrivileges: true,
      ...labelsIn(launch, site.label),
    },
    root: { path: site.rootDirectory, readonly: true },
    ...(site.cgroup.startsWith('/') ? {} : { annotations: scopeAnnotations(launch.limits) }),
    mounts: compileMounts(launch.program),
    linux: {
      // SECURITY: promise 2. Six namespaces of its own; without a path the runtime makes new ones.
      namespaces,
      // What is mounted later beneath a directory that is shown appears; nothing goes back. In a shared folder it does not: it
      // would come with the host's own options.
      rootfsPropagation:
        (launch.shown ?? []).length > 0 && launch.program !== 'virtiofsd' ? 'rslave' : 'private',
      cgroupsPath: site.cgroup,
      // SECURITY: promise 3. Nodes are made inside the jail; the host's /dev keeps its owners and modes.
      devices: nodes.map((node) => ({
        ...node,
        fileMode: 0o600,
        uid: site.uid,
        gid: site.gid,
      })),
      resources: {
        devices: deviceRules(launch, nodes),
        ...compileResources(launch.limits, site.cgroups),
      },
      ...(launch.program === 'virtiofsd' ? restOfProc : {}),
      ...(seccomp === undefined ? {} : { seccomp }),
    },
  };
}

function deviceRules(
  launch: LaunchRequest,
  nodes: readonly JailSite['deviceNumbers'][string][],
): readonly OciDeviceRule[] {
  if (relaxations(launch, 'device-cgroup').length > 0) return [{ allow: true, access: 'rwm' }];
  return [
    { allow: false, access: 'rwm' },
    ...nodes.map(({ type, major, minor }) => ({ allow: true, type, major, minor, access: 'rw' })),
  ];
}

function deviceNumbers(path: DeviceNode, site: JailSite): JailSite['deviceNumbers'][string] {
  const numbers = site.deviceNumbers[path];
  if (numbers === undefined) throw new TypeError(`${path}: no device numbers given`);
  return numbers;
}

function compileRlimits(launch: LaunchRequest): { type: string; hard: number; soft: number }[] {
  const { limits } = launch;
  // A device reaches all of the guest's memory, which stays where it is (VFIO).
  const locked = relaxations(launch, 'pci').length > 0 ? limits.memory : 0;
  const fixed = (type: string, value: number): { type: string; hard: number; soft: number } => ({
    type,
    hard: value,
    soft: value,
  });
  return [
    fixed('RLIMIT_CORE', 0),
    fixed('RLIMIT_MSGQUEUE', 0),
    fixed('RLIMIT_MEMLOCK', locked),
    fixed('RLIMIT_NOFILE', limits.openFiles),
    fixed('RLIMIT_FSIZE', limits.fileSize),
  ];
}

/** SECURITY: promise 2. Where all of /proc is, what is not of processes is to be read, or not even that. */
const restOfProc = {
  maskedPaths: ['/proc/kcore', '/proc/keys', '/proc/timer_list'],
  readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
};

function compileMounts(program: JailedProgram): OciMount[] {
  return [
    // Only the process's own directories of /proc: no /proc/sys, no /proc/kcore, nothing to mask.
    {
      destination: '/proc',
      type: 'proc',
      source: 'proc',
      // virtiofsd ends where it cannot read /proc/sys/fs/file-max, whatever it is told; it leaves this root for its folder.
      options: [
        'nosuid',
        'nodev',
        'noexec',
        ...(program === 'virtiofsd' ? [] : ['subset=pid']),
        'hidepid=ptraceable',
      ],
    },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'noexec', 'mode=755', 'size=64k'],
    },
  ];
}

/** Weights go to v2 as they are: the runtimes turn shares into weights by formulas that differ with their version. */
function compileResources(limits: LaunchLimits, cgroups: JailSite['cgroups']): Record<string, unknown> {
  const quota = limits.cpuQuota === null ? {} : { quota: limits.cpuQuota, period: quotaPeriod };
  const shared = { memory: { limit: limits.memory }, pids: { limit: limits.pids } };
  if (cgroups !== 'v2') return { ...shared, cpu: { shares: sharesOf(limits.cpuWeight), ...quota } };
  // io.weight exists only where the kernel has a policy for it, so the default is left alone.
  const ioWeight = limits.ioWeight === defaultWeight ? {} : { 'io.weight': `default ${limits.ioWeight}` };
  return { ...shared, cpu: quota, unified: { 'cpu.weight': String(limits.cpuWeight), ...ioWeight } };
}

const defaultWeight = 100;

/**
 * The limits once more, for systemd itself: with each daemon-reload it sets all that it knows of a scope, and what crun before 1.9
 * does not tell it, and io.weight in any case, to the default. And the machine is in the scope, as with runc, not in a cgroup below.
 */
function scopeAnnotations(limits: LaunchLimits): Record<string, string> {
  const { memory, pids, cpuWeight, cpuQuota, ioWeight } = limits;
  const quota = cpuQuota === null ? [] : [['CPUQuotaPerSecUSec', (cpuQuota * 1e6) / quotaPeriod]];
  const weights = [['CPUWeight', cpuWeight], ['IOWeight', ioWeight], ...quota];
  const properties = [['MemoryMax', memory], ['TasksMax', pids], ...weights];
  const entries = properties.map(([name, value]) => [`org.systemd.property.${name}`, `uint64 ${value}`]);
  return { 'run.oci.systemd.subgroup': '', ...Object.fromEntries(entries) };
}

/** v1 shares (2 to 262144) for a v2 weight (1 to 10000): crun(1), "CPU controller", turned round. */
export function sharesOf(weight: number): number {
  return Math.round(2 + ((weight - 1) * 262_142) / 9999);
}
