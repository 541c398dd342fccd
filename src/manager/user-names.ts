/** Names of users by uid, for lists: the system's account database is asked for each at most once a minute. */
import { accountOf } from '../linux/accounts.ts';

const keptMs = 60_000;

export function createUserNames(now: () => Date): (uid: number) => string {
  const known = new Map<number, { readonly name: string; readonly until: number }>();
  return (uid) => {
    const at = now().getTime();
    const kept = known.get(uid);
    if (kept !== undefined && kept.until > at) return kept.name;
    const name = accountOf(uid)?.name ?? String(uid);
    known.set(uid, { name, until: at + keptMs });
    return name;
  };
}
