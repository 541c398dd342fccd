/**
 * Proves KVM with a tiny guest: a device node that opens proves nothing (resources/kvm-probe/probe.S says why). The guest
 * is an ordinary machine, planned, jailed and audited like any other.
 */
import { stat } from 'node:fs/promises';
import { machineSchema, type MachineDefinition } from '../../definition/schema.ts';
import type { HostFacts, PlanOutcome, QemuFacts } from '../../plan/launch-plan.ts';
import { planLaunch } from '../../plan/plan-launch.ts';
import { noManagedNetworks } from '../../plan/network-server.ts';
import { noUserNetwork } from '../../plan/user-network.ts';
import { probeImageBytes, probeMagic } from './kvm-probe-image.ts';

/** Name of the probe's machine; users may not define one of this name while the probe runs. */
export const kvmProbeMachine = 'kvm-probe';
/**
 * CPU time of its QEMU, since a wrong "no" holds until the next boot, and a host that boots many machines may have none for it for
 * long. The guest speaks within 0.3 s of a CPU's, within 1.4 s where the host itself is emulated. A KVM that fails mostly stops the
 * guest long before.
 */
export const kvmProbeLimitMs = 5000;
/** By the clock, for a guest that stands still. */
export const kvmProbeWaitMs = 30_000;

export type KvmVerdict = HostFacts['kvm'];

/** One virtual CPU, 32 MiB, the image as its disk and a serial console to speak on; `tcg` only to test the guest itself. */
export function kvmProbeDefinition(imagePath: string, accel: 'kvm' | 'tcg' = 'kvm'): MachineDefinition {
  return machineSchema.parse({
    name: kvmProbeMachine,
    description: 'Proves that guests run under KVM on this host.',
    accel,
    memory: '32MiB',
    disks: [{ id: 'probe', path: imagePath, format: 'raw', readonly: true }],
    rng: false,
    balloon: false,
    hotplug: { ports: 0 },
  });
}

/** The launch of the probe: descriptors for `qmp`, `console` and the image, /dev/kvm, and a small machine's limits. */
export function planKvmProbe(qemu: QemuFacts, imagePath: string, accel: 'kvm' | 'tcg' = 'kvm'): PlanOutcome {
  const image = { format: 'raw', virtualSize: probeImageBytes, references: [], snapshots: 0 } as const;
  const definition = kvmProbeDefinition(imagePath, accel);
  return planLaunch(definition, {
    qemu,
    kvm: { works: true, reason: 'this machine is the proof' },
    files: { [imagePath]: { ok: true, size: probeImageBytes, worldReadable: true, image } },
    claimants: {},
    uefi: null,
    secureUefi: null,
    swtpm: null,
    virtiofsd: null,
    varsDirectory: '/nonexistent',
    vhostNet: false,
    userNetwork: noUserNetwork,
    networks: noManagedNetworks,
    hostMemory: definition.memory,
    time: { now: 0, zone: 'UTC' },
  });
}

/**
 * The verdict on what the guest wrote to its console within the limit. QEMU may have died or stopped the guest with an
 * "internal error" before: all that counts is the message.
 */
export function judgeKvmProbe(output: Buffer): KvmVerdict {
  if (output.includes(probeMagic))
    return { works: true, reason: 'a test guest ran 64-bit code with paging under KVM since the last boot' };
  return {
    works: false,
    reason: '/dev/kvm is there, but a test guest under it did not get through 64-bit code with paging',
  };
}

/** The verdict where there is nothing to try: no device node. Undefined: the probe must run. */
export async function judgeWithoutProbe(device = '/dev/kvm'): Promise<KvmVerdict | undefined> {
  try {
    if ((await stat(device)).isCharacterDevice()) return undefined;
  } catch {
    // Falls through: what cannot be looked at is not there for QEMU either.
  }
  return { works: false, reason: `there is no ${device} on this host` };
}
