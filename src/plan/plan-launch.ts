/** Definition + host facts → launch plan. Pure: nothing is opened, asked or started here. */
import type { MachineDefinition } from '../definition/schema.ts';
import type { LaunchRequest, SystemPath } from '../protocol/launch.ts';
import { acceleratorOptions, chooseAccelerator, type Accelerator } from './accelerator.ts';
import { bootIndexes, bootOrderOptions, kernelOptions, planFirmware, type Firmware } from './boot.ts';
import { planClocks } from './clocks.ts';
import { settleCards, type SettledDefinition } from './default-cards.ts';
import { DescriptorTable } from './descriptor-table.ts';
import { agentOptions, consoleOptions, memoryDeviceOptions, monitorOptions } from './devices.ts';
import { displayOptions, graphicsModules, usbControllerBefore } from './display.ts';
import { driveOptions } from './drives.ts';
import { descriptorFaults, hostFaults } from './host-faults.ts';
import { identityOptions } from './identity.ts';
import { fileFaults } from './image-faults.ts';
import type { Grant, HostFacts, PlanOutcome, QemuFacts } from './launch-plan.ts';
import { lifeOptions, panicOptions } from './life.ts';
import { planLimits } from './limits.ts';
import { machineOptions } from './machine.ts';
import { planMemory } from './memory.ts';
import { hostDeviceOptions, usbHostModules, usbHostOptions } from './host-devices.ts';
import { hotplugOptions } from './hotplug-ports.ts';
import { portOptions } from './ports.ts';
import { nicOptions } from './nics.ts';
import { planNotes } from './notes.ts';
import { planPassthrough } from './passthrough/plan-passthrough.ts';
import { keyOption, type Option } from './options.ts';
import { iommuOptions, soundModules, soundOptions, watchdogOptions } from './small-devices.ts';
import { pinsPart } from './pins.ts';
import { planShares, shareOptions } from './shares.ts';
import { planTpm, tpmOptions } from './tpm.ts';
import { planHelpers } from './user-network.ts';
import {
  devicesOf,
  plannedRelaxations,
  relaxationFaults,
  relaxedPart,
  sandboxOptions,
  shownGrants,
  shownPart,
  systemFilesOf,
} from './relaxed.ts';
import { planWalls } from './walls.ts';

export interface PlanLaunchOptions {
  /** QEMU waits for a saved state before anything runs. */
  readonly incoming?: boolean;
}

/** Plans a start. Every fault at once, or a plan that the broker can be asked for. */
export function planLaunch(
  given: MachineDefinition,
  facts: HostFacts,
  { incoming = false }: PlanLaunchOptions = {},
): PlanOutcome {
  const definition = settleCards(given, facts.defaultBridge ?? null);
  const { accel, faults: accelFaults } = chooseAccelerator(definition, facts.kvm);
  const faults = [...hostFaults(definition, facts), ...accelFaults, ...fileFaults(definition, facts)];
  if (facts.qemu === null || faults.length > 0) return { ok: false, faults };
  const table = new DescriptorTable(facts);
  const { options, firmware, env } = commandLine(definition, facts, { table, accel });
  const tooMany = descriptorFaults(table.descriptors.length);
  if (tooMany.length > 0) return { ok: false, faults: tooMany };
  const modules = [
    ...modulesOf[accel.kind],
    ...graphicsModules(definition),
    ...soundModules(definition),
    ...usbHostModules(definition),
  ];
  const root = systemRoot(facts.qemu, modules, [
    ...firmware.root,
    ...systemFilesOf(definition).map((path) => ({ source: path, target: path })),
  ]);
  const passthrough = planPassthrough(
    definition,
    root.map(({ target }) => target),
  );
  const beyond = [...relaxationFaults(definition), ...passthrough.faults];
  if (beyond.length > 0) return { ok: false, faults: beyond };
  const relaxations = plannedRelaxations(definition);
  const launch: LaunchRequest = {
    machine: definition.name,
    program: 'qemu',
    binary: facts.qemu.binary,
    argv: [
      ...options.flatMap(([name, value]) => (value === undefined ? [name] : [name, value])),
      ...(incoming ? incomingWords : []),
      ...passthrough.argv,
    ],
    env: { ...env, ...passthrough.env },
    descriptors: table.descriptors,
    devices: [...(accel.kind === 'kvm' ? ['/dev/kvm'] : []), ...devicesOf(definition)],
    root,
    limits: planLimits(definition, facts, { accel, descriptors: table.descriptors.length }),
    ...relaxedPart(definition),
    ...pinsPart(definition, accel),
    ...shownPart(definition, facts.claimants),
  };
  return {
    ok: true,
    plan: {
      version: 1,
      launch,
      grants: [...table.grants, ...shownGrants(definition), ...hostGrants(launch, accel)],
      walls: planWalls(launch, facts.session === true),
      accel,
      fdsets: table.fdsets,
      helpers: planHelpers(definition, facts.userNetwork),
      beside: [...planTpm(definition, facts), ...planShares(definition, facts)],
      notes: planNotes(definition, facts, accel),
      ...(relaxations.length === 0 ? {} : { relaxations }),
      ...(passthrough.findings.length === 0 ? {} : { passthrough: passthrough.findings }),
    },
  };
}

/** The options in the order of a reader. Descriptors are numbered in the order of these calls. */
function commandLine(
  definition: SettledDefinition,
  facts: HostFacts,
  { table, accel }: { readonly table: DescriptorTable; readonly accel: Accelerator },
): { readonly options: readonly Option[]; readonly firmware: Firmware; readonly env: LaunchRequest['env'] } {
  const indexes = bootIndexes(definition);
  const consoles = [
    ...monitorOptions(table),
    ...consoleOptions(definition, table),
    ...agentOptions(definition, table),
  ];
  const kernel = kernelOptions(definition, table);
  const firmware = planFirmware(definition, facts, table);
  const memory = planMemory(definition);
  const clocks = planClocks(definition, facts.time, accel);
  const drives = driveOptions(definition, table, indexes);
  const tpm = tpmOptions(definition, table);
  const shares = shareOptions(definition, table);
  const usb = usbHostOptions(definition, table, facts.absentUsb ?? []);
  const nics = nicOptions(definition, table, { vhostNet: facts.vhostNet, bootIndexes: indexes });
  return {
    firmware,
    env: clocks.env,
    options: [
      ...processOptions(definition),
      ...lifeOptions(definition),
      ...machineOptions(definition, accel, {
        ...clocks.machine,
        ...firmware.machine,
        ...memory.machine,
      }),
      ...clocks.options,
      ...identityOptions(definition),
      ...acceleratorOptions(definition, accel),
      ...memory.options,
      ...bootOrderOptions(definition),
      ...kernel,
      ...table.options(),
      ...consoles,
      ...firmware.options,
      ...iommuOptions(definition, accel),
      ...hotplugOptions(definition),
      ...usbControllerBefore(definition),
      ...drives,
      ...nics,
      ...portOptions(definition),
      ...hostDeviceOptions(definition),
      ...memoryDeviceOptions(definition),
      ...panicOptions(definition),
      ...watchdogOptions(definition),
      ...tpm,
      ...shares,
      ...displayOptions(definition),
      ...usb,
      ...soundOptions(definition),
    ],
  };
}

/** By QMP, once the walls are proved: nothing of the state is read before. */
export const incomingWords: readonly string[] = ['-incoming', 'defer'];

/** What holds for every QEMU. `-S`: no instruction of the guest runs before the walls are proved. */
function processOptions(definition: MachineDefinition): readonly Option[] {
  return [
    keyOption('-name', null, { guest: definition.name, 'debug-threads': 'on' }),
    ['-no-user-config'],
    ['-nodefaults'],
    ['-S'],
    keyOption('-display', 'none'),
    keyOption('-msg', null, { timestamp: 'on' }),
    ...sandboxOptions(definition),
  ];
}

/** Loadable parts of QEMU by what needs them. Where a distribution builds them in, the facts have no such module. */
const modulesOf: Readonly<Record<Accelerator['kind'], readonly string[]>> = {
  kvm: [],
  tcg: ['accel-tcg-x86_64'],
};

function systemRoot(
  qemu: QemuFacts,
  modules: readonly string[],
  more: readonly SystemPath[],
): readonly SystemPath[] {
  const paths = new Map<string, SystemPath>();
  for (const path of [...qemu.closure, ...modules.flatMap((name) => qemu.modules[name] ?? [])])
    paths.set(path.target, path);
  const covered = (target: string): boolean =>
    [...paths.keys()].some((shown) => target === shown || target.startsWith(`${shown}/`));
  for (const path of more) if (!covered(path.target)) paths.set(path.target, path);
  return [...paths.values()].sort((left, right) => (left.target < right.target ? -1 : 1));
}

function hostGrants(launch: LaunchRequest, accel: Accelerator): readonly Grant[] {
  const devices = launch.devices.map((resource): Grant => {
    const granted = resource === '/dev/kvm';
    const [subject, reason] = granted ? ['accelerator', accel.reason] : ['device', 'confinement.devices'];
    return { fd: null, subject, resource, access: 'rw', reason };
  });
  return [
    ...devices,
    {
      fd: null,
      subject: 'root',
      resource: `${launch.root.length} paths beneath /usr`,
      access: 'ro',
      reason: "QEMU's program, libraries, modules and firmware, and nothing else of the system",
    },
  ];
}
