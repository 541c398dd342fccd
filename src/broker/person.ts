/** A user as the account database has it now. */
import { accountOf, groupIdOf, type Account } from '../linux/accounts.ts';
import type { Person } from '../policy/who.ts';

/** A uid without an account is a person without a name, in no group. */
export function personOf(uid: number): Person & { readonly account: Account | undefined } {
  const account = accountOf(uid);
  const isIn = (group: string): boolean => {
    const gid = groupIdOf(group);
    return gid !== undefined && account?.groups.includes(gid) === true;
  };
  return { name: account?.name, isIn, account };
}
