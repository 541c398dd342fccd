/** From a definition to a launch plan: what the host gives is gathered, each file looked at, and then it is planned. */
import type { FileIdentity } from '../audit/expected-walls.ts';
import type { Fault } from '../definition/fault.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import { parseImageHeader } from '../plan/image-header.ts';
import type { FileFacts, HostFacts, LaunchPlan, QemuFacts } from '../plan/launch-plan.ts';
import { planLaunch } from '../plan/plan-launch.ts';
import { requiredFiles } from '../plan/required-files.ts';
import type { FileProbe } from '../protocol/broker.ts';
import type { BrokerPort } from './broker-port.ts';
import type { HostBasics } from './facts/host.ts';
import { success, type Outcome } from './outcome.ts';
import { ensureVariableStore, freshVariableStore } from './variable-store.ts';

export interface Planned {
  readonly plan: LaunchPlan;
  /** Identity of each file of the plan when it was looked at. */
  readonly files: Readonly<Record<string, FileIdentity>>;
}

export interface PlanOptions {
  /** Make what a start needs and the manager itself provides; else plan as if it were there. */
  readonly makeFiles: boolean;
}

export interface Planner {
  readonly plan: (definition: MachineDefinition, options: PlanOptions) => Promise<Outcome<Planned>>;
}

export interface PlannerSources {
  readonly broker: BrokerPort;
  readonly varsDirectory: string;
  readonly host: () => Promise<HostBasics>;
  readonly qemu: () => Promise<Outcome<QemuFacts>>;
  readonly kvm: () => Promise<HostFacts['kvm']>;
}

export function createPlanner(sources: PlannerSources): Planner {
  return { plan: (definition, options) => plan(sources, definition, options) };
}

async function plan(
  sources: PlannerSources,
  definition: MachineDefinition,
  { makeFiles }: PlanOptions,
): Promise<Outcome<Planned>> {
  const { broker, varsDirectory } = sources;
  const host = await sources.host();
  const store = { directory: varsDirectory, machine: definition.name };
  const uefi = definition.firmware === 'uefi' ? host.uefi : null;
  if (uefi !== null && makeFiles) {
    const made = await ensureVariableStore(store, uefi.varsTemplate);
    if (!made.ok) return made;
  }
  const wanted = requiredFiles(definition, varsDirectory);
  const [qemu, kvm, probed] = await Promise.all([
    sources.qemu(),
    definition.accel === 'tcg' ? notAsked : sources.kvm(),
    wanted.length === 0 ? success([]) : broker.call('probe', { paths: wanted }),
  ]);
  if (!probed.ok) return probed;
  const files = Object.fromEntries(probed.value.map((probe) => [probe.path, fileFacts(probe)]));
  if (uefi !== null && !makeFiles)
    Object.assign(files, await freshVariableStore(store, uefi.varsTemplate, files));
  const planned = planLaunch(definition, {
    ...host,
    qemu: qemu.ok ? qemu.value : null,
    kvm,
    files,
    varsDirectory,
  });
  if (planned.ok) return success({ plan: planned.plan, files: identities(probed.value) });
  return { ok: false, faults: withQemuFaults(planned.faults, qemu) };
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
  return { ok: true, size, worldReadable, image: parseImageHeader(Buffer.from(probe.head, 'base64'), size) };
}

export function identities(probes: readonly FileProbe[]): Planned['files'] {
  return Object.fromEntries(
    probes.flatMap((probe) =>
      probe.ok ? [[probe.path, { device: probe.device, inode: probe.inode }] as const] : [],
    ),
  );
}
