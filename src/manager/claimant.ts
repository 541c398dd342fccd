/** With whose claim the broker is asked for a file of a machine. */
import { placeOf } from '../policy/file-rules.ts';
import type { Policy } from '../policy/policy.ts';

export interface Ownership {
  readonly ownerUid: number;
  /** As the account database and the policy have it now. */
  readonly ownerIsAdministrator: boolean;
  readonly policy: Policy;
}

/**
 * The uid whose claim is to count for the path; null: what the policy gives to every machine.
 * SECURITY: promise 4. A user's machine gets no file that the user could not open, or that a root's `who` gives: only what
 * administrators define uses what the policy gives to all.
 */
export function claimantOf(
  path: string,
  { ownerUid, ownerIsAdministrator, policy }: Ownership,
): number | null {
  // Root never claims: its rights are given by the policy alone.
  if (ownerUid === 0) return null;
  const place = placeOf(path, policy, policy.storageRoots) ?? policy.sockets.find((one) => one.path === path);
  const givenToAll = place?.who === null;
  return ownerIsAdministrator && givenToAll ? null : ownerUid;
}

/** The claimant of each path that has one. */
export function claimantsOf(
  paths: readonly string[],
  ownership: Ownership,
): Readonly<Record<string, number>> {
  return Object.fromEntries(
    paths.flatMap((path) => {
      const claimant = claimantOf(path, ownership);
      return claimant === null ? [] : [[path, claimant] as const];
    }),
  );
}
