/** What the user should know of a plan and need not act on. */
import { mostCpus } from '../definition/most-cpus.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import type { Accelerator } from './accelerator.ts';
import { cpuModel } from './cpus.ts';
import { chainNotes } from './image-faults.ts';
import type { HostFacts } from './launch-plan.ts';
import { managedNetworkNotes } from './network-server.ts';
import { shareNotes } from './shares.ts';
import { tpmNotes } from './tpm.ts';
import { userNetworkNotes } from './user-network.ts';

export function planNotes(
  definition: MachineDefinition,
  facts: HostFacts,
  accel: Accelerator,
): readonly string[] {
  const notes: string[] = [];
  const { limits } = definition;
  if (accel.kind === 'tcg')
    notes.push(
      "TCG translates the guest's code inside QEMU, and QEMU promises no security there: the jail is the boundary",
    );
  const { args, env, qmp } = definition.qemu;
  if (args.length + env.length + qmp.length > 0)
    notes.push(
      'the definition passes words of its own to QEMU (qemu.args, qemu.env, qemu.qmp): they run in the same jail, and reach what is granted',
    );
  if (definition.onAuditFailure === 'warn')
    notes.push('onAuditFailure: warn lets the guest run although a wall differs; `qward list` marks it then');
  for (const [event, when] of [
    ['start', 'before each start; where it fails, the machine is not started'],
    ['stop', 'after each end'],
  ] as const) {
    const hook = definition.hooks[event];
    if (hook !== undefined) notes.push(`hook "${hook}" of the policy runs ${when}`);
  }
  const model = cpuModel(definition, accel);
  if (accel.kind === 'kvm' && (model === 'host' || model === 'max'))
    notes.push(`CPU model ${model} is this host's: a saved or moved guest needs the same CPU`);
  const { hyperv, hidden } = definition.cpu;
  if (accel.kind === 'tcg' && (hidden || hyperv.passthrough || hyperv.enlightenments.length > 0))
    notes.push('cpu.hidden and cpu.hyperv count under KVM alone, and this machine runs without');
  if (!definition.platform.acpi)
    notes.push('without ACPI the guest is not asked to shut down: `qward stop` kills it after stop.timeout');
  if (limits.pids !== undefined && limits.pids < mostCpus(definition.cpu) + 64 + 4)
    notes.push('limits.pids leaves less than 64 threads for I/O: QEMU aborts when it cannot make one');
  for (const disk of definition.disks) {
    if (disk.cache === 'unsafe')
      notes.push(`disk "${disk.id}": cache unsafe ignores flushes, data is lost when the host stops`);
    if (disk.bus === 'nvme')
      notes.push(`disk "${disk.id}": nvme reports a full host disk to the guest instead of pausing it`);
  }
  if (definition.machine === 'microvm' && accel.kind === 'tcg')
    notes.push(
      "microvm under TCG has one clock only, and Linux may hang at boot while it measures it on a busy host: use q35, or give the kernel tsc_early_khz= with the host's TSC frequency",
    );
  if (definition.secureBoot && definition.boot.kernel !== undefined)
    notes.push(
      'OVMF does not ask its keys about a kernel that is booted directly: Secure Boot counts from there on',
    );
  if (definition.machine === 'pc')
    notes.push(
      'pc always has a floppy controller and IDE in QEMU; the floppy controller is moved to where no guest reaches it',
    );
  return [
    ...notes,
    ...userNetworkNotes(definition, facts.userNetwork, facts.session === true),
    ...managedNetworkNotes(definition, facts.networks),
    ...tpmNotes(definition),
    ...shareNotes(definition),
    ...chainNotes(definition, facts.files),
  ];
}
