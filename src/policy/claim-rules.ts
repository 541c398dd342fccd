/** Which files a user may claim for a machine, and who may claim at all. What is opened by a claim, file-rules.ts says. */
import type { Refusal } from '../protocol/broker.ts';
import type { ClaimedFile } from '../protocol/claims.ts';
import { placeOf, type StorageRoot } from './file-rules.ts';
import { absolutePath, isWithin, policyFile, type Policy } from './policy.ts';
import { forCertainUsers, noOwnFiles, notPlain, policyRefusal, unlistedBlockDevice } from './refusals.ts';
import { isOneOf, type Person } from './who.ts';

export interface ClaimGrounds {
  readonly policy: Policy;
  readonly roots: readonly StorageRoot[];
  /** qward's own directories. */
  readonly own: readonly string[];
}

/** by-policy: the machines of this user need no claim for it. */
export type ClaimDecision = 'claim' | 'by-policy' | Refusal;

export function decideClaim(
  { path, access }: ClaimedFile,
  user: Person,
  grounds: ClaimGrounds,
): ClaimDecision {
  const { policy, roots, own } = grounds;
  const closed = closedPath(path, own);
  if (closed !== undefined) return closed;
  const place = placeOf(path, policy, roots);
  if (place === null) return isWithin(path, '/dev') ? unlistedBlockDevice(path) : byOwner(path, policy);
  const { rule, who, kind } = place;
  if (access === 'rw' && place.access === 'ro')
    return policyRefusal(
      `"${path}" is given for reading only`,
      `claim it for reading, or set access "rw" in ${policyFile}`,
      rule,
    );
  // SECURITY: promise 4. What the policy gives to all is given to machines of administrators; others bring their own rights.
  if (who === null)
    return policy.session !== undefined || user.isIn(policy.groups.administrators) ? 'by-policy' : 'claim';
  if (isOneOf(who, user)) return 'claim';
  // A user may have made a file in another's directory, but never a device.
  if (kind === 'device') return forCertainUsers(path, 'add yours to "who"', rule);
  return byOwner(path, policy);
}

const byOwner = (path: string, { ownerClaims }: Policy): ClaimDecision =>
  ownerClaims ? 'claim' : noOwnFiles(path, 'the user');

/** SECURITY: promise 1. What is no user's to give: the kernel's files and qward's own. */
function closedPath(path: string, own: readonly string[]): Refusal | undefined {
  if (!absolutePath.test(path)) return notPlain(path);
  if (isWithin(path, '/proc') || isWithin(path, '/sys') || path === '/dev')
    return policyRefusal(
      `"${path}" is the kernel's, no file for a machine`,
      'name regular files',
      'kernel-files',
    );
  const ours = own.find((directory) => isWithin(path, directory));
  if (ours !== undefined)
    return policyRefusal(
      `"${path}" lies in ${ours}, which is qward's own`,
      'keep the file elsewhere',
      'own-files',
    );
  return undefined;
}

const overflowUid = 65_534;

/** Who never claims: root, qward's own uids, and uids without an account. */
export function refuseClaimant(
  uid: number,
  { name }: Person,
  { uidRange, session, managerUid }: Pick<Policy, 'uidRange' | 'session'> & { readonly managerUid: number },
): Refusal | undefined {
  if (uid === 0)
    return {
      code: 'not-allowed',
      message: "root does not claim: root's rights are given by the policy alone",
      hint: `add the directory to storageRoots in ${policyFile}, or claim as the user whose file it is`,
      rule: 'storageRoots',
    };
  // The manager and the broker of a session are the user's own: there is nobody to tell the user from.
  if (uid === session) return undefined;
  // SECURITY: promise 1. Neither a taken-over manager nor a guest agrees in a user's name.
  if (uid === managerUid) return notAPerson(`uid ${uid} is the manager's`);
  if (uid >= uidRange.base && uid < uidRange.base + uidRange.count)
    return { ...notAPerson(`uid ${uid} is a machine's`), rule: 'uidRange' };
  // The kernel's word for users whom it cannot tell apart here (user_namespaces(7), overflowuid).
  if (uid === overflowUid) return notAPerson(`uid ${uid} is anybody's`);
  // Whoever has subordinate uids (subuid(5)) has thousands, each with room for claims of its own.
  return name === undefined ? notAPerson(`uid ${uid} has no account`) : undefined;
}

function notAPerson(what: string): Refusal {
  return {
    code: 'not-allowed',
    message: `${what}: only users claim files`,
    hint: 'claim with an account of a person',
  };
}
