/** From a definition to a launch plan: what the host gives is gathered, each file looked at, and then it is planned. */
import type { FileIdentity } from '../audit/expected-walls.ts';
import type { Fault } from '../definition/fault.ts';
import { claimableFiles } from '../definition/named-files.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import { parseImageHeader } from '../plan/image-header.ts';
import type {
  FileFacts,
  HostFacts,
  LaunchPlan,
  ManagedNetworkFacts,
  QemuFacts,
  UserNetworkFacts,
} from '../plan/launch-plan.ts';
import { uefiFor } from '../plan/boot.ts';
import { networksNamedBy, noManagedNetworks } from '../plan/network-server.ts';
import { settleCards, type SettledDefinition } from '../plan/default-cards.ts';
import { planLaunch } from '../plan/plan-launch.ts';
import { noUserNetwork, userNicsOf } from '../plan/user-network.ts';
import { requiredFiles } from '../plan/required-files.ts';
import type { Policy } from '../policy/policy.ts';
import type { FileProbe } from '../protocol/broker.ts';
import type { LaunchRequest } from '../protocol/launch.ts';
import type { BrokerPort } from './broker-port.ts';
import { claimantsOf } from './claimant.ts';
import type { HostBasics } from './facts/host.ts';
import { expiredFaults } from './expired.ts';
import { hookFaults } from './hooks/named-hooks.ts';
import { bridgeFaults, forwardFaults, macFaults, networkFaults } from './networks/network-grounds.ts';
import { success, type Outcome } from './outcome.ts';
import type { LookUpOwner, Owner } from './owners.ts';
import { ownStateFaults } from './own-state.ts';
import type { Quotas } from './quotas.ts';
import { warningFaults } from './policy-grounds.ts';
import type { ScratchFiles } from './throwaway/scratch-files.ts';
import { ensureTpmState } from './tpm-state.ts';
import { absentUsb, hostDeviceFaults } from '../plan/host-device-faults.ts';
import { readHostDevices } from './facts/host-devices.ts';
import { ensureVariableStore, freshVariableStore } from './variable-store.ts';

export interface Planned {
  readonly plan: LaunchPlan;
  /** Identity of each file of the plan when it was looked at. */
  readonly files: Readonly<Record<string, FileIdentity>>;
  /** The same for what must not change while a state of the machine is kept. */
  readonly marks: FileMarks;
}

/** What tells that a file was not written to: nothing does of a block device but its size. */
export interface FileMark {
  /** Bytes. */
  readonly size: number;
  /** Ms since 1970; null: of a block device. */
  readonly modifiedMs: number | null;
}
export type FileMarks = Readonly<Record<string, FileMark>>;

export interface PlanOptions {
  /** Uid of the machine's owner, with whose claims its files are opened. */
  readonly owner: number;
  /** Make what a start needs and the manager itself provides; else plan as if it were there. */
  readonly makeFiles: boolean;
  /** For a saved state that is to come in. */
  readonly incoming?: boolean;
}

export interface Planner {
  readonly plan: (definition: MachineDefinition, options: PlanOptions) => Promise<Outcome<Planned>>;
}

export interface PlannerSources {
  readonly broker: BrokerPort;
  readonly varsDirectory: string;
  /** qward's own directories, in which no definition may name a file. */
  readonly ownState: readonly string[];
  /** Files of the manager's own for throwaway machines. */
  readonly scratch: Pick<ScratchFiles, 'pathsOf'>;
  /** What decides with whose claims files are asked for, as it is now. */
  readonly ownership: LookUpOwner;
  readonly policy: () => Outcome<Policy>;
  readonly now: () => Date;
  readonly host: () => Promise<HostBasics>;
  readonly qemu: () => Promise<Outcome<QemuFacts>>;
  readonly kvm: () => Promise<HostFacts['kvm']>;
  readonly userNetwork: () => Promise<UserNetworkFacts>;
  readonly networks: () => Promise<Outcome<ManagedNetworkFacts>>;
  readonly swtpm: () => Promise<HostFacts['swtpm']>;
  readonly virtiofsd: () => Promise<HostFacts['virtiofsd']>;
  /** Of every machine that runs. */
  readonly running: () => readonly LaunchRequest[];
}

/** A planner that also says where the start would be above the owner's quota. */
export function withQuota(planner: Planner, quotas: Pick<Quotas, 'admitStart'>): Planner {
  return {
    plan: async (definition, options) => {
      const [admitted, planned] = await Promise.all([
        quotas.admitStart(options.owner, definition),
        planner.plan(definition, options),
      ]);
      if (admitted.ok) return planned;
      return { ok: false, faults: [...admitted.faults, ...(planned.ok ? [] : planned.faults)] };
    },
  };
}

export function createPlanner(sources: PlannerSources): Planner {
  return { plan: (definition, options) => plan(sources, definition, options) };
}

async function plan(
  sources: PlannerSources,
  given: MachineDefinition,
  { makeFiles, owner, incoming = false }: PlanOptions,
): Promise<Outcome<Planned>> {
  const { broker, varsDirectory } = sources;
  const policy = sources.policy();
  const definition = settleCards(given, policy.ok ? policy.value.defaultBridge : null);
  const scratch = sources.scratch.pathsOf(definition.name);
  const own = [
    ...macFaults(definition, sources.running()),
    ...ownStateFaults(definition, sources.ownState, scratch),
    ...expiredFaults(definition, sources.now()),
  ];
  if (own.length > 0) return { ok: false, faults: own };
  const ownership = sources.ownership(owner);
  if (!ownership.ok) return ownership;
  const allowed = beyondLaunch(definition, sources.policy, ownership.value);
  if (!allowed.ok) return allowed;
  const devices = await readHostDevices(definition.hostDevices);
  const kept = hostDeviceFaults(definition, devices);
  if (kept.length > 0) return { ok: false, faults: kept };
  const host = await sources.host();
  const store = { directory: varsDirectory, machine: definition };
  const uefi = definition.firmware === 'uefi' ? uefiFor(definition, host) : null;
  if (uefi !== null && makeFiles) {
    const made = await ensureVariableStore(store, uefi.varsTemplate);
    if (!made.ok) return made;
  }
  if (definition.tpm && makeFiles) {
    const made = await ensureTpmState(varsDirectory, definition.name);
    if (!made.ok) return made;
  }
  const claimants = claimantsOf(
    claimableFiles(definition).flatMap(({ path }) => (scratch.includes(path) ? [] : [path])),
    ownership.value,
  );
  const wanted = requiredFiles(definition, varsDirectory).map((file) => ({
    ...file,
    claimant: claimants[file.path] ?? null,
  }));
  const [qemu, kvm, userNetwork, networks, swtpm, virtiofsd, probed] = await Promise.all([
    sources.qemu(),
    definition.accel === 'tcg' ? notAsked : sources.kvm(),
    userNicsOf(definition).length === 0 ? noUserNetwork : sources.userNetwork(),
    networksNamedBy(definition).length === 0 ? success(noManagedNetworks) : sources.networks(),
    definition.tpm ? sources.swtpm() : null,
    definition.shares.length === 0 ? null : sources.virtiofsd(),
    wanted.length === 0
      ? success([])
      : broker.call('probe', { machine: definition.name, paths: wanted, head: 1024 }),
  ]);
  if (!networks.ok) return networks;
  const barred = networkFaults(definition, networks.value.known, ownership.value);
  if (barred.length > 0) return { ok: false, faults: barred };
  if (!probed.ok) return probed;
  const files = Object.fromEntries(probed.value.map((probe) => [probe.path, fileFacts(probe)]));
  if (uefi !== null && !makeFiles)
    Object.assign(files, await freshVariableStore(store, uefi.varsTemplate, files));
  const planned = planLaunch(
    definition,
    {
      ...host,
      qemu: qemu.ok ? qemu.value : null,
      kvm,
      files,
      claimants,
      varsDirectory,
      userNetwork,
      networks: networks.value,
      swtpm,
      virtiofsd,
      absentUsb: absentUsb(definition, devices),
    },
    { incoming },
  );
  if (planned.ok)
    return success({
      plan: planned.plan,
      files: identities(probed.value),
      marks: fileMarks(probed.value),
    });
  return { ok: false, faults: withQemuFaults(planned.faults, qemu) };
}

/** What the definition asks of the policy beside what the launch itself asks: the broker never hears of it. */
function beyondLaunch(
  definition: SettledDefinition,
  policyOf: PlannerSources['policy'],
  owner: Owner,
): Outcome<undefined> {
  const { onAuditFailure, hooks, nics } = definition;
  if (onAuditFailure === 'stop' && Object.keys(hooks).length === 0 && nics.length === 0)
    return success(undefined);
  const policy = policyOf();
  if (!policy.ok) return policy;
  const faults = [
    ...warningFaults(definition, policy.value),
    ...hookFaults(definition, policy.value),
    ...forwardFaults(definition, policy.value, owner),
    ...bridgeFaults(definition, policy.value, owner),
  ];
  return faults.length === 0 ? success(undefined) : { ok: false, faults };
}

/** Who asks for TCG needs no proof. */
const notAsked: HostFacts['kvm'] = { works: false, reason: 'not asked for' };

/** What was found about QEMU says more than that the plan has none. */
function withQemuFaults(faults: readonly Fault[], qemu: Outcome<QemuFacts>): readonly Fault[] {
  if (qemu.ok) return faults;
  return [...qemu.faults, ...faults.filter(({ code }) => code !== 'qemu-missing')];
}

function fileFacts(probe: FileProbe): FileFacts {
  if (!probe.ok) return { ok: false, fault: probe.refusal };
  const { size, worldReadable } = probe;
  const kind = probe.blockDevice === true ? ({ blockDevice: true } as const) : {};
  return {
    ok: true,
    size,
    ...kind,
    worldReadable,
    image: parseImageHeader(Buffer.from(probe.head, 'base64'), size),
  };
}

function identities(probes: readonly FileProbe[]): Planned['files'] {
  return Object.fromEntries(
    probes.flatMap((probe) =>
      probe.ok ? [[probe.path, { device: probe.device, inode: probe.inode }] as const] : [],
    ),
  );
}

export function fileMarks(probes: readonly FileProbe[]): FileMarks {
  return Object.fromEntries(
    probes.flatMap((probe) =>
      probe.ok
        ? [
            [
              probe.path,
              {
                size: probe.size,
                modifiedMs: probe.blockDevice === true ? null : probe.modifiedMs,
              },
            ] as const,
          ]
        : [],
    ),
  );
}
