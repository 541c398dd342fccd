/** Owners of machines as the account database and the policy have them now. */
import { accountOf, groupIdOf } from '../linux/accounts.ts';
import { defaultPolicy, type Policy } from '../policy/policy.ts';
import type { Person } from '../policy/who.ts';
import type { Ownership } from './claimant.ts';
import { success, type Outcome } from './outcome.ts';
import { identify } from './roles.ts';

export interface Owner extends Ownership {
  readonly name: string;
  readonly person: Person;
}

export type LookUpOwner = (uid: number) => Outcome<Owner>;

/** Root needs no policy: the broker holds each request of its machines against its own. Nor a look at the account database. */
const root = success<Owner>({
  ownerUid: 0,
  ownerIsAdministrator: true,
  policy: defaultPolicy,
  name: 'root',
  person: { name: 'root', isIn: (group) => group === 'root' },
});

export function createOwners(policy: () => Outcome<Policy>): LookUpOwner {
  return (uid) => {
    if (uid === 0) return root;
    const current = policy();
    if (!current.ok) return current;
    const account = accountOf(uid);
    const { user, administrator } = identify({ uid, pid: null, account }, current.value, groupIdOf);
    const isIn = (group: string): boolean => {
      const gid = groupIdOf(group);
      return gid !== undefined && account?.groups.includes(gid) === true;
    };
    return success({
      ownerUid: uid,
      ownerIsAdministrator: administrator,
      policy: current.value,
      name: user,
      person: { name: account?.name, isIn },
    });
  };
}
