/** The networks that a definition asks for against the policy, for its owner. Pure. */
import type { Fault } from '../../definition/fault.ts';
import { formatForward } from '../../definition/forward.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import { forwardRuleOf, unlistedForward } from '../../policy/admit-passt.ts';
import type { AdmissionRow } from '../../policy/explain-admission.ts';
import type { Policy } from '../../policy/policy.ts';
import { isOneOf } from '../../policy/who.ts';
import type { Owner } from '../owners.ts';

/** Whose machine it is. */
export type NetworkOwner = Pick<Owner, 'person' | 'ownerIsAdministrator'>;

/** Each forward with the rule that gives it, or the refusal. */
export function forwardRows(
  { nics }: MachineDefinition,
  { forwards }: Pick<Policy, 'forwards'>,
  { person, ownerIsAdministrator }: NetworkOwner,
): readonly (AdmissionRow & { readonly path: readonly (string | number)[] })[] {
  return nics.flatMap((nic, card) =>
    nic.kind !== 'user'
      ? []
      : nic.forward.map((forward, place) => {
          // SECURITY: promise 4. For whom a rule is only the manager knows; that there is one, the broker looks at as well.
          const index = forwardRuleOf(
            forward,
            forwards,
            ({ who }) => who === null || ownerIsAdministrator || isOneOf(who, person),
          );
          return {
            what: `forward (${nic.id})`,
            resource: formatForward(forward),
            rule: index < 0 ? 'forwards' : `forwards[${index}]`,
            refusal: index < 0 ? unlistedForward(forward) : null,
            path: ['nics', card, 'forward', place],
          };
        }),
  );
}

export function forwardFaults(
  definition: MachineDefinition,
  policy: Pick<Policy, 'forwards'>,
  owner: NetworkOwner,
): readonly Fault[] {
  return forwardRows(definition, policy, owner).flatMap(({ refusal, path }) =>
    refusal === null ? [] : [{ ...refusal, path }],
  );
}
