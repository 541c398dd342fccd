/** Opens a file for a machine, as the policy and the claims of users give it: with root's rights, or with a user's. */
import { closeSync, type Stats } from 'node:fs';
import { isLvmVolume } from '../linux/block-device.ts';
import { openBlockDevice, openRegular, openRegularBeneath, type OpenFile } from '../linux/descriptors.ts';
import { refuseClaimant } from '../policy/claim-rules.ts';
import { grantOf, type Claimant, type FileGrounds, type FilePlace } from '../policy/file-rules.ts';
import type { Policy } from '../policy/policy.ts';
import type { FileRequest, Refusal } from '../protocol/broker.ts';
import { storageRoots, type BrokerContext } from './context.ts';
import { explainFile } from './file-refusals.ts';
import type { Means } from './means.ts';
import { personOf } from './person.ts';
import { refusedAs } from './refused-as.ts';

export type FileOutcome =
  | ({ readonly ok: true } & OpenFile)
  | { readonly ok: false; readonly refusal: Refusal };

/** What decides about the files of a machine, while one request runs. */
export function groundsOf(context: BrokerContext, machine: string, policy: Policy): FileGrounds {
  const known = new Map<number, Claimant | Refusal>();
  return {
    policy,
    roots: storageRoots(policy, context),
    claimantOf: (uid) => {
      const claimant = known.get(uid) ?? claimantOf(context, { machine, uid }, policy);
      known.set(uid, claimant);
      return claimant;
    },
  };
}

function claimantOf(
  { claims, managerUid }: BrokerContext,
  { machine, uid }: { readonly machine: string; readonly uid: number },
  { uidRange, session }: Policy,
): Claimant | Refusal {
  const { account, isIn } = personOf(uid);
  const barred = refuseClaimant(uid, { name: account?.name, isIn }, { uidRange, session, managerUid });
  if (barred !== undefined) return barred;
  // Of a session's user alone the ids are known, whatever the account database says.
  const known = account ?? (uid === session ? { name: String(uid), uid, gid: uid, groups: [] } : undefined);
  if (known === undefined) throw new TypeError(`uid ${uid} has no account and is not barred`);
  const claimed: Claimant['claimed'] = (path, access) =>
    claims.find(machine, uid, path, access) !== undefined;
  return { ...known, machine, isIn, claimed };
}

/** A regular file, or a block device that the policy names. The caller closes it. */
export function openGranted(
  file: FileRequest,
  grounds: FileGrounds,
  { withRightsOf }: Pick<Means, 'withRightsOf'>,
): FileOutcome {
  const grant = grantOf(file, grounds);
  if (!grant.ok) return grant;
  const { place, claimant } = grant;
  // SECURITY: promise 4. What a user gave is opened with that user's rights, and none of root's.
  const opened = refusedAs(
    () =>
      claimant === null
        ? openAt(place, file)
        : withRightsOf(claimant, () => openAt(withoutRoot(place), file)),
    (code, error) => explainFile(file, code, { place, user: claimant?.name ?? null, error }),
  );
  if ('code' in opened) return { ok: false, refusal: opened };
  if (isTheOwners(opened.stats, grant)) return { ok: true, ...opened };
  closeSync(opened.fd);
  return { ok: false, refusal: foreign(file.path) };
}

/** To a user's own rights a storage root is a directory like others. */
const withoutRoot = (place: FilePlace | null): FilePlace | null => (place?.kind === 'device' ? place : null);

function openAt(place: FilePlace | null, { path, access }: FileRequest): OpenFile {
  if (place === null) return openRegular(path, access);
  if (place.kind === 'root') return openRegularBeneath(place.path, place.relative, access);
  const { volume } = place;
  return openBlockDevice(path, access, (number) => volume === null || isLvmVolume(number, volume));
}

/** SECURITY: promise 1. The manager can write in its own directory: a link it made there to another's file opens nothing. */
function isTheOwners(
  { uid, nlink }: Stats,
  { place, claimant }: { readonly place: FilePlace | null; readonly claimant: Claimant | null },
): boolean {
  return claimant !== null || place?.ownedBy === undefined || (uid === place.ownedBy && nlink === 1);
}

function foreign(path: string): Refusal {
  return {
    code: 'file-unreadable',
    message: `"${path}" is not a file of the manager's own`,
    hint: 'remove it; the manager makes it anew',
  };
}
