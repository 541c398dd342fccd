/** What a start would ask of the policy, also where it could not be planned because something stands in its way. */
import { filesOf } from '../definition/named-files.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import { settleCards } from '../plan/default-cards.ts';
import { chooseAccelerator } from '../plan/accelerator.ts';
import type { HostFacts } from '../plan/launch-plan.ts';
import { planLimits } from '../plan/limits.ts';
import { devicesOf, relaxedPart, shownPart } from '../plan/relaxed.ts';
import { requiredFiles } from '../plan/required-files.ts';
import type { Descriptor, LaunchRequest } from '../protocol/launch.ts';

/** Files that were not looked at count as empty: the bound on their size is then not what a start has. */
export function askedLaunch(given: MachineDefinition, facts: HostFacts, binary: string): LaunchRequest {
  const definition = settleCards(given, facts.defaultBridge ?? null);
  const { accel } = chooseAccelerator(definition, facts.kvm);
  const own = new Set(filesOf(definition).map(({ path }) => path));
  const files = requiredFiles(definition, facts.varsDirectory).map(({ path, access }): Descriptor => ({
    kind: 'file',
    path,
    access,
    claimant: own.has(path) ? (facts.claimants[path] ?? null) : null,
    reopened: false,
  }));
  const taps = definition.nics.flatMap((nic): Descriptor[] =>
    nic.kind === 'bridge' ? [{ kind: 'tap', bridge: nic.bridge }] : [],
  );
  const vhost = facts.vhostNet && taps.length > 0 ? [{ kind: 'vhost-net' as const }] : [];
  const descriptors = [...files, ...taps, ...vhost];
  return {
    machine: definition.name,
    program: 'qemu',
    binary: facts.qemu?.binary ?? binary,
    argv: [],
    env: {},
    descriptors,
    devices: [...(accel.kind === 'kvm' ? ['/dev/kvm'] : []), ...devicesOf(definition)],
    ...relaxedPart(definition),
    ...shownPart(definition, facts.claimants),
    root: [],
    limits: planLimits(definition, facts, { accel, descriptors: descriptors.length }),
  };
}
