/** Whether a definition may be kept for its owner: no file of qward's own, hooks of the policy's, the owner's quota and rights to the files. */
import type { Fault } from '../../definition/fault.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import { userNicsOf } from '../../plan/user-network.ts';
import type { Policy } from '../../policy/policy.ts';
import type { FileChecks } from '../file-checks.ts';
import { hookFaults } from '../hooks/named-hooks.ts';
import { forwardFaults } from '../networks/network-grounds.ts';
import { success, type Outcome } from '../outcome.ts';
import { ownStateFaults } from '../own-state.ts';
import type { LookUpOwner } from '../owners.ts';
import type { Quotas } from '../quotas.ts';

export interface AdmissionServices {
  /** qward's own directories. */
  readonly ownState: readonly string[];
  readonly policy: () => Outcome<Policy>;
  readonly owner: LookUpOwner;
  readonly quotas: Quotas;
  readonly files: FileChecks;
}

export interface Asked {
  /** Uid of the machine's owner. */
  readonly owner: number;
  /** Uid of the user who defines it. */
  readonly by: number;
  /** Only a check: a client claims files once it has found no fault. */
  readonly dryRun: boolean;
}

export type Admit = (definition: MachineDefinition, asked: Asked) => Promise<Outcome<void>>;

/** Every fault at once. */
export function createAdmission(services: AdmissionServices): Admit {
  return async (definition, asked) => {
    const quota = await services.quotas.admitDefinition(asked.owner, definition);
    const faults = [
      ...ownStateFaults(definition, services.ownState),
      ...unlistedHooks(definition, services.policy),
      ...unlistedForwards(definition, services, asked),
      ...(quota.ok ? [] : quota.faults),
    ];
    if (faults.length > 0) return { ok: false, faults };
    const ofFiles = await fileFaults(services, definition, asked);
    return ofFiles.length === 0 ? success(undefined) : { ok: false, faults: ofFiles };
  };
}

function unlistedHooks(
  definition: MachineDefinition,
  policyOf: AdmissionServices['policy'],
): readonly Fault[] {
  if (Object.keys(definition.hooks).length === 0) return [];
  const policy = policyOf();
  return policy.ok ? hookFaults(definition, policy.value) : policy.faults;
}

function unlistedForwards(
  definition: MachineDefinition,
  { policy: policyOf, owner: lookUp }: AdmissionServices,
  { owner }: Asked,
): readonly Fault[] {
  if (userNicsOf(definition).length === 0) return [];
  const [policy, found] = [policyOf(), lookUp(owner)];
  if (!policy.ok) return policy.faults;
  return found.ok ? forwardFaults(definition, policy.value, found.value) : found.faults;
}

/**
 * Owners are told at once which files they cannot have, administrators what the policy gives to no machine of theirs: images
 * are often made later, and then a start tells. What others change is looked at when it is started.
 */
async function fileFaults(
  { owner: lookUp, files }: AdmissionServices,
  definition: MachineDefinition,
  { owner, by, dryRun }: Asked,
): Promise<readonly Fault[]> {
  if (by !== owner) return [];
  const found = lookUp(owner);
  if (!found.ok) return found.faults;
  if (!found.value.ownerIsAdministrator) return dryRun ? [] : await files.faults(definition, owner);
  const faults = await files.faults(definition, owner);
  // What is only not claimed yet is claimed after the check.
  return faults.filter(({ code, rule }) => code === 'policy-refused' && !(dryRun && rule === 'user-claims'));
}
