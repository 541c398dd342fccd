/** What this host can and cannot give, each with the cure. */
import { existsSync, readdirSync } from 'node:fs';
import type { MachineDefinition } from '../definition/schema.ts';
import type { HostFacts, QemuFacts } from '../plan/launch-plan.ts';
import { accountOf } from '../linux/accounts.ts';
import type { UserNetworkFacts } from '../plan/launch-plan.ts';
import type { BrokerStatus } from '../protocol/broker.ts';
import type { NetworkDefinition } from '../protocol/networks.ts';
import { cureOfLack, lackingIn } from '../protocol/capability-names.ts';
import { version } from '../protocol/version.ts';
import type { BrokerPort } from './broker-port.ts';
import type { HostBasics } from './facts/host.ts';
import { lackOfUserNetwork } from './facts/user-network.ts';
import type { History, HistoryState } from './history/history.ts';
import type { Outcome } from './outcome.ts';
import { notYours } from './session/own-kvm.ts';
import { ownUsbDevices, usbCheck } from './session/own-usb.ts';
import { sessionChecks } from './session/session-checks.ts';
import type { PolicySource } from './policy-source.ts';
import type { BrokenFile } from './store/definition-store.ts';
import { unsharedMounts } from './shown-mounts.ts';
import { newerCure, wroteIt } from './store/newer.ts';

export interface Check {
  readonly check: string;
  /** degraded: machines start, with less. missing: they do not. */
  readonly state: 'ok' | 'degraded' | 'missing';
  readonly found: string;
  readonly cure: string;
}

/** Names machines, whoever's they are. */
export const stateFilesCheck = 'state files';

export interface DoctorServices {
  readonly instance: 'system' | 'session';
  readonly broker: BrokerPort;
  readonly policy: Pick<PolicySource, 'current' | 'placed' | 'named'>;
  readonly qemu: () => Promise<Outcome<QemuFacts>>;
  readonly kvm: () => Promise<HostFacts['kvm']>;
  readonly host: () => Promise<HostBasics>;
  readonly userNetwork: () => Promise<UserNetworkFacts>;
  readonly swtpm: () => Promise<HostFacts['swtpm']>;
  readonly virtiofsd: () => Promise<HostFacts['virtiofsd']>;
  readonly onStatus: (status: BrokerStatus) => void;
  readonly brokenFiles: () => readonly BrokenFile[];
  readonly history: Pick<History, 'state'>;
}

/** SECURITY: promise 4. What of others' the user is told of by name, in no check more than by its own call. */
export interface DoctorView {
  readonly definitions: readonly MachineDefinition[];
  readonly seesNetwork: (network: Pick<NetworkDefinition, 'who'>) => boolean;
}

export async function examineHost(
  services: DoctorServices,
  { definitions, seesNetwork }: DoctorView,
): Promise<readonly Check[]> {
  const status = await services.broker.call('status', {});
  if (status.ok) services.onStatus(status.value);
  const [qemu, host, userNetwork, swtpm, virtiofsd] = await Promise.all([
    services.qemu(),
    services.host(),
    services.userNetwork(),
    services.swtpm(),
    services.virtiofsd(),
  ]);
  // The proof runs a machine: without broker and QEMU it would only say the same again.
  const kvm = status.ok && qemu.ok ? await services.kvm() : { works: false, reason: 'not tried yet' };
  const checks = [
    ...(status.ok ? brokerChecks(status.value, services, seesNetwork) : [faultCheck('broker', status)]),
    ...(services.instance === 'session'
      ? [...sessionChecks(status.ok ? status.value : undefined), ...soundCheck(qemu)]
      : [policyCheck(services, status)]),
    qemuCheck(qemu),
    kvmCheck(kvm),
    uefiCheck(host),
    tpmCheck(swtpm),
    ...(services.instance === 'session'
      ? []
      : [shareCheck(virtiofsd), vhostCheck(host), passthroughCheck(), usbCheck(ownUsbDevices())]),
    userNetworkCheck(userNetwork, services.instance === 'session'),
    stateCheck(services.brokenFiles(), status.ok ? status.value.damaged : []),
    historyCheck(services.history.state),
    ...mountChecks(definitions),
  ];
  return checks.map((check) => ({ ...check, cure: services.policy.named(check.cure) }));
}

const fine = (check: string, found: string): Check => ({ check, state: 'ok', found, cure: '' });

function faultCheck(check: string, outcome: Outcome<unknown>): Check {
  const faults = outcome.ok ? [] : outcome.faults;
  return {
    check,
    state: 'missing',
    found: faults.map(({ message }) => message).join('; '),
    cure: faults[0]?.hint ?? '',
  };
}

function brokerChecks(
  status: BrokerStatus,
  { instance, policy }: Pick<DoctorServices, 'instance' | 'policy'>,
  seesNetwork: DoctorView['seesNetwork'],
): readonly Check[] {
  const always = [
    brokerCheck(status.version),
    runtimeCheck(status),
    fine('cgroups', status.cgroups),
    ...labelChecks(status),
  ];
  if (instance === 'session') return always;
  return [
    ...always,
    uidRangeCheck(status),
    storageCheck(status),
    fine('bridges', status.bridges.join(', ') || 'the policy lists none: cards are of kind user'),
    networksCheck(status.networks.filter(seesNetwork)),
    ...capabilityChecks(status, policy.current()),
  ];
}

/** The two speak the same protocol, or the status had not come. */
function brokerCheck(found: string): Check {
  if (found === version) return fine('broker', `version ${found}`);
  return {
    check: 'broker',
    state: 'degraded',
    found: `it is of version ${found}, the manager of ${version}`,
    cure: 'restart both: `systemctl restart qward-broker qward-manager`, or `qward host down --leave-machines` and `qward host up`',
  };
}

/** As the manager reads the file, and as the broker does, who are to find the same. */
function policyCheck({ policy }: DoctorServices, status: Outcome<BrokerStatus>): Check {
  const current = policy.current();
  const all = [...(current.ok ? [] : current.faults), ...(status.ok ? status.value.policyFaults : [])];
  const faults = [...new Map(all.toReversed().map((fault) => [fault.message, fault])).values()]
    .toReversed()
    .map(policy.placed);
  if (faults.length === 0) return fine('policy', 'read, without faults');
  const found = faults.map(({ message, ruleAt }) =>
    ruleAt === undefined ? message : `${message} (${ruleAt})`,
  );
  return {
    check: 'policy',
    state: 'missing',
    found: found.join('; '),
    cure: [...new Set(faults.map(({ hint }) => hint))].join('; '),
  };
}

function runtimeCheck({ runtime, runtimesRefused, labelFault }: BrokerStatus): Check {
  const refused = runtimesRefused.map((one) => `${one.runtime} is not used: ${one.reason}`).join('; ');
  if (runtime !== null) return fine('OCI runtime', refused === '' ? runtime : `${runtime}; ${refused}`);
  const cure = labelFault?.cure ?? 'apt-get install crun, or runc';
  return { check: 'OCI runtime', state: 'missing', found: refused, cure };
}

/** Nothing of a host without AppArmor. */
function labelChecks({ label, labelFault }: BrokerStatus): readonly Check[] {
  const check = 'AppArmor';
  if (labelFault !== undefined)
    return [{ check, state: 'missing', found: labelFault.reason, cure: labelFault.cure }];
  if (label === undefined) return [];
  if (label !== '') return [fine(check, label)];
  const cure = 'apparmor_parser --replace /etc/apparmor.d/qward, which comes with the package';
  return [{ check, state: 'degraded', found: 'the profile qward-qemu is not loaded: a wall less', cure }];
}

function uidRangeCheck({ uidRange, uidRangeOverlaps }: BrokerStatus): Check {
  const check = 'uid range';
  if (uidRange === null)
    return { check, state: 'missing', found: 'not known: the policy has faults', cure: 'mend the policy' };
  const range = `${uidRange.base} to ${uidRange.base + uidRange.count - 1}`;
  if (uidRangeOverlaps.length === 0) return fine(check, range);
  return {
    check,
    state: 'missing',
    found: `${range} is not qward's alone: ${uidRangeOverlaps.join('; ')}`,
    cure: 'set another `uidRange` in /etc/qward/policy.json',
  };
}

function storageCheck({ storageRoots }: BrokerStatus): Check {
  const roots = storageRoots.map(({ path, access }) => `${path} (${access})`).join(', ');
  if (storageRoots.length > 0) return fine('storage roots', roots);
  return {
    check: 'storage roots',
    state: 'missing',
    found: 'none: no machine can have a disk',
    cure: 'name directories under `storageRoots` in /etc/qward/policy.json',
  };
}

function qemuCheck(qemu: Outcome<QemuFacts>): Check {
  if (!qemu.ok) return faultCheck('QEMU', qemu);
  const { binary, version } = qemu.value;
  return fine('QEMU', `${version.major}.${version.minor}.${version.micro} (${binary})`);
}

/** Of a QEMU without loadable parts nothing is known before it starts. */
function soundCheck(qemu: Outcome<QemuFacts>): readonly Check[] {
  const modules = qemu.ok ? Object.keys(qemu.value.modules) : [];
  if (modules.length === 0) return [];
  if (modules.includes('audio-pa')) return [fine('sound', 'by a server of yours: `sound.server`')];
  return [
    {
      check: 'sound',
      state: 'degraded',
      found: 'QEMU has no part that speaks to a server of sound: `sound.server` cannot be started',
      cure: 'apt-get install qemu-system-gui',
    },
  ];
}

function kvmCheck({ works, reason }: HostFacts['kvm']): Check {
  if (works) return fine('KVM', reason);
  if (reason === notYours) return foreignKvmCheck();
  return {
    check: 'KVM',
    state: 'degraded',
    found: `${reason}; guests run under TCG, slowly, and QEMU promises no security under it`,
    cure: 'enable virtualisation in the firmware of this host and load kvm_intel or kvm_amd; in a virtual machine, its host must allow nesting',
  };
}

function foreignKvmCheck(): Check {
  const name = accountOf(process.getuid?.() ?? -1)?.name ?? 'USER';
  return {
    check: 'KVM',
    state: 'degraded',
    found: `${notYours}: guests run under TCG, slowly, and QEMU promises no security under it`,
    cure: `as root: adduser ${name} kvm, and log in anew`,
  };
}

function uefiCheck({ uefi, secureUefi }: HostBasics): Check {
  if (uefi !== null)
    return fine(
      'UEFI firmware',
      secureUefi === null
        ? `${uefi.code}; none with Secure Boot`
        : `${uefi.code}; with Secure Boot ${secureUefi.code}`,
    );
  return {
    check: 'UEFI firmware',
    state: 'degraded',
    found: 'not installed: `firmware: uefi` cannot be started',
    cure: 'apt-get install ovmf',
  };
}

function tpmCheck(swtpm: HostFacts['swtpm']): Check {
  if (swtpm !== null) return fine('TPM', swtpm.binary);
  return {
    check: 'TPM',
    state: 'degraded',
    found: 'there is no swtpm: machines with `tpm: true` cannot be started',
    cure: 'apt-get install swtpm',
  };
}

function shareCheck(virtiofsd: HostFacts['virtiofsd']): Check {
  if (virtiofsd !== null) return fine('shared folders', virtiofsd.binary);
  return {
    check: 'shared folders',
    state: 'degraded',
    found: 'there is no virtiofsd: machines with `shares` cannot be started',
    cure: 'apt-get install qemu-system-common',
  };
}

function vhostCheck({ vhostNet }: HostBasics): Check {
  if (vhostNet) return fine('vhost-net', '/dev/vhost-net');
  return {
    check: 'vhost-net',
    state: 'degraded',
    found: 'not there: QEMU itself carries the packets of network cards',
    cure: 'modprobe vhost_net',
  };
}

/** Nothing where the policy gives machines none. */
function capabilityChecks(
  { boundingSet, scopes = false }: BrokerStatus,
  current: ReturnType<DoctorServices['policy']['current']>,
): readonly Check[] {
  const lines = current.ok ? current.value.relaxations : [];
  const given = [...new Set(lines.flatMap(({ relax, to }) => (relax === 'capability' ? [to] : [])))];
  if (given.length === 0 || boundingSet === undefined) return [];
  const check = 'capabilities';
  const lacking = lackingIn(boundingSet, given);
  if (lacking === '') return [fine(check, `${given.join(', ')}: for machines that the policy names`)];
  const found = `the policy gives ${lacking} to machines, and the broker's own bounding set is without: they cannot be started with it`;
  return [{ check, state: 'degraded', found, cure: cureOfLack(lacking, scopes) }];
}

/** Those that there are, or what they would lack. */
function networksCheck(networks: BrokerStatus['networks']): Check {
  const check = 'managed networks';
  const lacking = [
    { path: '/usr/sbin/dnsmasq', deb: 'dnsmasq-base' },
    { path: '/usr/sbin/nft', deb: 'nftables' },
    { path: '/usr/sbin/ip', deb: 'iproute2' },
  ].filter(({ path }) => !existsSync(path));
  const names = networks.map(({ name, mode, up }) => `${name} (${mode}, ${up ? 'up' : 'down'})`).join(', ');
  if (lacking.length === 0)
    return fine(check, names || 'none; administrators make them: qward network create');
  return {
    check,
    state: 'degraded',
    found: `there is no ${lacking.map(({ path }) => path).join(', ')}: cards of kind network cannot be started`,
    cure: `apt-get install ${lacking.map(({ deb }) => deb).join(' ')}`,
  };
}

/** What a guest on such a network reaches is the host's to decide; what it never reaches is said here and by `explain`. */
function userNetworkCheck({ passt, nameServers }: UserNetworkFacts, session: boolean): Check {
  const check = 'user networks';
  const lack =
    passt === null
      ? { found: 'there is no passt', cure: 'apt-get install passt' }
      : lackOfUserNetwork(session);
  if (lack !== undefined)
    return {
      check,
      state: 'degraded',
      found: `${lack.found}: cards of kind user cannot be started`,
      cure: lack.cure,
    };
  const told = nameServers.length === 0 ? 'no name server, unless `dns` names one' : nameServers.join(', ');
  return fine(
    check,
    session
      ? `${passt?.binary}; a user has no packet filter: services of this host are open to guests that want to; told to them: ${told}`
      : `${passt?.binary}; closed to guests: this host, broadcast, link-local and metadata services; told to them: ${told}`,
  );
}

/** Whether PCI devices of this host can be given to machines. Not needed by any other. */
function passthroughCheck(): Check {
  const check = 'PCI devices';
  const groups = namesIn('/sys/kernel/iommu_groups').length;
  if (groups === 0)
    return fine(
      check,
      'none can be given to machines: no IOMMU in use (VT-d or AMD-Vi in the firmware, intel_iommu=on)',
    );
  if (namesIn('/sys/bus/pci/drivers').includes('vfio-pci'))
    return fine(check, `${groups} IOMMU groups, vfio-pci`);
  return fine(check, `${groups} IOMMU groups; to give one to a machine load the driver: modprobe vfio-pci`);
}

function namesIn(directory: string): readonly string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}

function stateCheck(broken: readonly BrokenFile[], damaged: BrokerStatus['damaged']): Check {
  const check = stateFilesCheck;
  if (broken.length + damaged.length === 0) return fine(check, 'all could be read');
  const cures = [
    ...broken.map(({ cure }) => cure ?? 'mend or remove what is broken, and start qward-manager again'),
    ...damaged.map(({ cure }) => cure),
  ];
  return {
    check,
    state: 'degraded',
    found: [...broken, ...damaged].map(({ path, reason }) => `${path}: ${reason}`).join('; '),
    cure: [...new Set(cures)].join('; '),
  };
}

function mountChecks(definitions: readonly MachineDefinition[]): readonly Check[] {
  const found = unsharedMounts(definitions);
  if (found.length === 0) return [];
  const points = [...new Set(found.map(({ point }) => point))];
  return [
    {
      check: 'shown directories',
      state: 'degraded',
      found: `what is mounted later beneath ${found.map(({ path }) => path).join(', ')} does not reach the machines that are shown it`,
      cure: points.map((point) => `mount --make-rshared ${point}`).join('; '),
    },
  ];
}

function historyCheck({ fault, waiting, lost, damaged }: HistoryState): Check {
  const check = 'history';
  const found = [
    ...(fault === null ? [] : [`it cannot be written: ${fault}; ${waiting} entries wait`]),
    ...(lost === 0 ? [] : [`${lost} entries found no room while they waited and are lost`]),
    ...(damaged === null ? [] : [`it could not be read, was put aside as ${damaged}, and begun anew`]),
  ];
  if (found.length === 0) return fine(check, 'kept');
  return { check, state: 'degraded', found: found.join('; '), cure: historyCure(fault, damaged) };
}

function historyCure(fault: string | null, damaged: string | null): string {
  if (damaged !== null) return `look at ${damaged}, and remove it`;
  if (fault?.includes(wroteIt) === true) return newerCure;
  return 'make room on the file system of /var/lib/qward; calls go on meanwhile';
}
