/** Which accelerator a machine runs under, its CPU model, and why. */
import type { Fault } from '../definition/fault.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import type { HostFacts, LaunchPlan } from './launch-plan.ts';
import { keyOption, type Option } from './options.ts';

export type Accelerator = LaunchPlan['accel'];

/**
 * TCG's buffer for translated code, MiB. QEMU's own choice is 1 GiB whatever the machine, which would count against the
 * memory limit. Measured: a Debian kernel with busybox uses 50 MiB of it when it has booted; when it is full QEMU starts
 * afresh.
 */
export const translationBufferMib = 256;

/**
 * Without svm, TCG's `max` (QEMU 7.2) ends its extended CPUID leaves before the one with the address widths, yet has
 * five-level paging: Linux then takes 48 bits for 57, and its programs crash (seen: busybox, `_dl_get_origin`).
 */
const lastCpuidLeaf = '0x80000008';

export function chooseAccelerator(
  definition: MachineDefinition,
  kvm: HostFacts['kvm'],
): { readonly accel: Accelerator; readonly faults: readonly Fault[] } {
  if (definition.accel === 'tcg')
    return { accel: { kind: 'tcg', reason: 'the definition says tcg' }, faults: [] };
  if (kvm.works) return { accel: { kind: 'kvm', reason: kvm.reason }, faults: [] };
  const accel: Accelerator = { kind: 'tcg', reason: `no KVM: ${kvm.reason}` };
  const faults: Fault[] = [];
  if (definition.accel === 'kvm')
    faults.push({
      code: 'kvm-unavailable',
      message: `the definition asks for KVM, and this host was not proved to have it: ${kvm.reason}`,
      hint: 'Run `qward doctor` for the cure, or set `accel: auto` to run without KVM where there is none.',
      path: ['accel'],
    });
  else if (definition.cpu.model === 'host')
    faults.push({
      code: 'kvm-unavailable',
      message: `CPU model "host" exists only under KVM, and this host was not proved to have it: ${kvm.reason}`,
      hint: 'Leave `cpu.model` unset: it is then `host` under KVM and `max` without.',
      path: ['cpu', 'model'],
    });
  return { accel, faults };
}

export function cpuModel(definition: MachineDefinition, accel: Accelerator): string {
  return definition.cpu.model ?? (accel.kind === 'kvm' ? 'host' : 'max');
}

export function acceleratorOptions(definition: MachineDefinition, accel: Accelerator): readonly Option[] {
  return [
    accel.kind === 'kvm'
      ? keyOption('-accel', 'kvm')
      : keyOption('-accel', 'tcg', { thread: 'multi', 'tb-size': translationBufferMib }),
    // SECURITY: promise 2. Nested virtualisation is off whatever the model brings (qemu64 has svm, host and max both).
    keyOption('-cpu', cpuModel(definition, accel), {
      vmx: 'off',
      svm: 'off',
      'min-xlevel': accel.kind === 'tcg' ? lastCpuidLeaf : undefined,
    }),
    keyOption('-smp', null, {
      cpus: definition.cpu.count,
      maxcpus: definition.cpu.count,
      sockets: 1,
      cores: definition.cpu.count,
      threads: 1,
    }),
  ];
}
