/** The networks that a definition asks for against the policy, for its owner. Pure. */
import type { Fault } from '../../definition/fault.ts';
import { formatForward } from '../../definition/forward.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import type { SettledDefinition } from '../../plan/default-cards.ts';
import { bridgeCards, macOf } from '../../plan/nics.ts';
import { forwardRuleOf, unlistedForward } from '../../policy/admit-passt.ts';
import type { AdmissionRow } from '../../policy/explain-admission.ts';
import type { Policy } from '../../policy/policy.ts';
import { isOneOf } from '../../policy/who.ts';
import type { LaunchRequest } from '../../protocol/launch.ts';
import type { NetworkDefinition } from '../../protocol/networks.ts';
import type { Owner } from '../owners.ts';
import { mayUseNetwork } from './network-rights.ts';

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

/** Each managed network with whether it is for the owner's machines. SECURITY: promise 4. Only the manager knows whose they are. */
export function networkRows(
  { nics }: MachineDefinition,
  known: readonly NetworkDefinition[],
  owner: NetworkOwner,
): readonly (AdmissionRow & { readonly path: readonly (string | number)[] })[] {
  return nics.flatMap((nic, card) => {
    if (nic.kind !== 'network') return [];
    const network = known.find(({ name }) => name === nic.network);
    if (network === undefined) return [];
    return [
      {
        what: `network (${nic.id})`,
        resource: nic.network,
        rule: null,
        refusal: mayUseNetwork(network, owner)
          ? null
          : {
              code: 'policy-refused',
              message: `network "${nic.network}" is not for machines of ${owner.person.name ?? 'a user without a name'}`,
              hint: '`qward network list` shows those that are; administrators say for whom one is',
            },
        path: ['nics', card, 'network'],
      },
    ];
  });
}

export function networkFaults(
  definition: MachineDefinition,
  known: readonly NetworkDefinition[],
  owner: NetworkOwner,
): readonly Fault[] {
  return networkRows(definition, known, owner).flatMap(({ refusal, path }) =>
    refusal === null ? [] : [{ ...refusal, path }],
  );
}

/** Each bridge with whether it is for the owner's machines; that it is listed at all the broker says. */
export function bridgeFaults(
  { nics }: SettledDefinition,
  { bridges }: Pick<Policy, 'bridges'>,
  { person, ownerIsAdministrator }: NetworkOwner,
): readonly Fault[] {
  return nics.flatMap((nic, card): readonly Fault[] => {
    if (nic.kind !== 'bridge' || ownerIsAdministrator) return [];
    const rules = bridges.filter(({ bridge }) => bridge === nic.bridge);
    // SECURITY: promise 4. For whom a rule is only the manager knows.
    if (rules.length === 0 || rules.some(({ who }) => who === null || isOneOf(who, person))) return [];
    return [
      {
        code: 'policy-refused',
        message: `bridge "${nic.bridge}" is not for machines of ${person.name ?? 'a user without a name'}`,
        hint: 'use another, or kind: user; `bridges` of the policy says for whom one is',
        path: ['nics', card, 'bridge'],
        rule: 'bridges',
      },
    ];
  });
}

/** A card on a bridge with the MAC address of a card there that another running machine has: each would get the other's packets. */
export function macFaults(
  { name, nics }: SettledDefinition,
  launches: readonly Pick<LaunchRequest, 'machine' | 'argv' | 'descriptors'>[],
): readonly Fault[] {
  if (nics.every(({ kind }) => kind !== 'bridge')) return [];
  const taken = new Set(
    launches
      .filter(({ machine }) => machine !== name)
      .flatMap((launch) => bridgeCards(launch).map(({ bridge, mac }) => `${bridge} ${mac}`)),
  );
  return nics.flatMap((nic, card): readonly Fault[] => {
    if (nic.kind !== 'bridge' || !taken.has(`${nic.bridge} ${macOf(name, nic)}`)) return [];
    // SECURITY: promise 4. Whose the other machine is may be nobody's business here.
    return [
      {
        code: 'network-conflict',
        message: `network card "${nic.id}": ${macOf(name, nic)} is the MAC address of a card of another running machine on bridge ${nic.bridge}`,
        hint:
          nic.mac === undefined ? 'give it one of its own: `mac`' : 'leave `mac` out: qward then makes one',
        path: ['nics', card, 'mac'],
      },
    ];
  });
}
