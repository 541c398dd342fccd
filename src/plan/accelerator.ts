/** Which accelerator a machine runs under, its CPU model, and why. */
import type { Fault } from '../definition/fault.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import type { HostFacts, LaunchPlan } from './launch-plan.ts';
import { cpuOptions } from './cpus.ts';
import { keyOption, type Option } from './options.ts';
import type { LaunchRequest } from '../protocol/launch.ts';

export type Accelerator = LaunchPlan['accel'];

/**
 * TCG's buffer for translated code, MiB. QEMU's own choice is 1 GiB whatever the machine, which would count against the
 * memory limit. Measured: a Debian kernel with busybox uses 50 MiB of it when it has booted; when it is full QEMU starts
 * afresh.
 */
export const translationBufferMib = 256;

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

export function acceleratorOptions(definition: MachineDefinition, accel: Accelerator): readonly Option[] {
  return [
    accel.kind === 'kvm'
      ? keyOption('-accel', 'kvm')
      : keyOption('-accel', 'tcg', { thread: 'multi', 'tb-size': translationBufferMib }),
    ...cpuOptions(definition, accel),
  ];
}

/** By the arguments that a machine was started with. */
export function isEmulated({ argv }: Pick<LaunchRequest, 'argv'>): boolean {
  return /^tcg(?:,|$)/.test(argv[argv.indexOf('-accel') + 1] ?? '');
}
