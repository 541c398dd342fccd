/** The virtual CPUs as QEMU is told of them: model and features, number and arrangement. */
import { mostCpus } from '../definition/most-cpus.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import type { Accelerator } from './accelerator.ts';
import { freeText, keyOption, type FreeText, type Option } from './options.ts';

type Properties = Record<string, string | number | FreeText | undefined>;
type Cpu = MachineDefinition['cpu'];

/**
 * Without svm, TCG's `max` (QEMU 7.2) ends its extended CPUID leaves before the one with the address widths, yet has
 * five-level paging: Linux then takes 48 bits for 57, and its programs crash (seen: busybox, `_dl_get_origin`).
 */
const lastCpuidLeaf = '0x80000008';

export function cpuModel(definition: MachineDefinition, accel: Accelerator): string {
  return definition.cpu.model ?? (accel.kind === 'kvm' ? 'host' : 'max');
}

const onOff = (value: boolean | undefined): string | undefined =>
  value === undefined ? undefined : value ? 'on' : 'off';
/** A property whose default is QEMU's `off`. */
const onIf = (value: boolean): string | undefined => (value ? 'on' : undefined);

function featureProperties({ features }: Cpu): Properties {
  // QEMU takes both spellings and has the one with dashes.
  const all = (names: readonly string[], value: string): readonly (readonly [string, string])[] =>
    names.map((name) => [name.replaceAll('_', '-'), value]);
  return Object.fromEntries([...all(features.enable, 'on'), ...all(features.disable, 'off')]);
}

function cacheProperties({ cache }: Cpu): Properties {
  if (cache === undefined) return {};
  return { 'l3-cache': onOff(cache === 'emulate'), 'host-cache-info': onIf(cache === 'host') };
}

/** Under TCG QEMU 7.2 asks the kernel for these all the same, and ends (`kernel doesn't allow setting HyperV VP_INDEX`). */
function kvmProperties({ hidden, dedicated, pollControl, hyperv }: Cpu): Properties {
  return {
    kvm: hidden ? 'off' : undefined,
    'kvm-hint-dedicated': onIf(dedicated),
    'kvm-poll-control': onIf(pollControl),
    'hv-passthrough': onIf(hyperv.passthrough),
    ...Object.fromEntries(hyperv.enlightenments.map((name) => [`hv-${name}`, 'on'])),
    'hv-spinlocks': hyperv.spinlocks,
    'hv-vendor-id': freeText(hyperv.vendorId),
  };
}

function modelOption(definition: MachineDefinition, accel: Accelerator): Option {
  const { cpu, clock } = definition;
  return keyOption('-cpu', cpuModel(definition, accel), {
    // SECURITY: promise 2. Nested virtualisation is off whatever the model brings (qemu64 has svm, host and max both).
    vmx: 'off',
    svm: 'off',
    'min-xlevel': accel.kind === 'tcg' ? lastCpuidLeaf : undefined,
    vendor: cpu.vendor,
    migratable: onOff(cpu.migratable),
    pmu: onOff(cpu.pmu),
    kvmclock: onOff(clock.kvmclock),
    'tsc-frequency': clock.tscFrequency,
    'phys-bits': cpu.addressBits,
    'host-phys-bits': onOff(cpu.hostAddressBits),
    ...cacheProperties(cpu),
    ...(accel.kind === 'kvm' ? kvmProperties(cpu) : {}),
    ...featureProperties(cpu),
    enforce: onIf(cpu.enforce),
  });
}

export function cpuOptions(definition: MachineDefinition, accel: Accelerator): readonly Option[] {
  const { cpu } = definition;
  const most = mostCpus(cpu);
  const arranged = cpu.topology ?? { sockets: 1, cores: most, threads: 1 };
  return [
    modelOption(definition, accel),
    keyOption('-smp', null, { cpus: cpu.count, maxcpus: most, ...arranged }),
  ];
}
