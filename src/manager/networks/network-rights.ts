/** For whom managed networks are. That there is one the broker knows; whose machine it is, the manager alone. Pure. */
import { isOneOf, type Person } from '../../policy/who.ts';
import type { NetworkDefinition } from '../../protocol/networks.ts';

export interface NetworkUser {
  readonly person: Person;
  readonly ownerIsAdministrator: boolean;
}

export const mayUseNetwork = (
  { who }: Pick<NetworkDefinition, 'who'>,
  { person, ownerIsAdministrator }: NetworkUser,
): boolean => who === null || ownerIsAdministrator || isOneOf(who, person);
