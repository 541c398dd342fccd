/** What of a jail gives way for one machine. Pure: the policy was asked before (policy/admit-relaxations.ts). */
import { relaxations, type LaunchRequest, type Relaxed } from '../protocol/launch.ts';
import { compileSeccomp, type OciSeccomp, type SeccompProfile } from './seccomp.ts';

const namespaceTypes: Readonly<Record<string, string>> = {
  mount: 'mount',
  pid: 'pid',
  net: 'network',
  ipc: 'ipc',
  uts: 'uts',
  cgroup: 'cgroup',
};

/**
 * SECURITY: promise 2. Those of its own; never the host's mounts. passt is in the host's network namespace: it makes the guest's
 * connections where they leave the host. What of the host it must not reach there a packet filter closes (broker/host-filter.ts).
 */
export function namespacesOf(launch: LaunchRequest): { type: string }[] {
  const hosts = launch.program === 'passt' ? ['net'] : relaxations(launch, 'namespace');
  return Object.entries(namespaceTypes).flatMap(([name, type]) =>
    name !== 'mount' && hosts.includes(name) ? [] : [{ type }],
  );
}

const sets = ['bounding', 'effective', 'inheritable', 'permitted', 'ambient'] as const;
export type CapabilitySets = Readonly<Record<(typeof sets)[number], readonly string[]>>;

/** SECURITY: promise 2. All five sets the same: empty, or just what was admitted. */
export function capabilitiesOf(launch: LaunchRequest): CapabilitySets {
  const names = [...new Set(relaxations(launch, 'capability'))].map((name) => `CAP_${name.toUpperCase()}`);
  return { bounding: names, effective: names, inheritable: names, permitted: names, ambient: names };
}

/** Which PCI or USB device it is makes no difference. */
const groupOf = ({ relax, to }: Relaxed): string =>
  relax === 'pci' || relax === 'usb' ? relax : `${relax} ${to}`;

/** Undefined: no filter of qward's. Each grant brings the calls that it is of no use without. */
export function filterOf(launch: LaunchRequest, profile: SeccompProfile): OciSeccomp | undefined {
  if (relaxations(launch, 'seccomp').length > 0) return undefined;
  // SECURITY: promise 2. What a server is shown is its own to serve, by the calls of its own filter.
  if (launch.program === 'swtpm' || launch.program === 'virtiofsd') return compileSeccomp(profile);
  const shown = (launch.shown ?? []).map(({ kind, access }) =>
    kind === 'file' ? `files ${access}` : 'sockets',
  );
  const sockets = launch.descriptors.flatMap((one) =>
    one.kind === 'socket' ? [one.name] : one.kind === 'netdev' ? [one.socket] : [],
  );
  const relaxed = (launch.relaxed ?? []).map(groupOf);
  const granted = [...shown, ...sockets, ...relaxed];
  return compileSeccomp(profile, { groups: granted, calls: relaxations(launch, 'syscall') });
}
