/** Which rule of the policy decides about a path, and with whose rights a file may be opened by it. Pure. */
import type { FileRequest, Refusal } from '../protocol/broker.ts';
import { absolutePath, policyFile, type Policy, type StorageRule } from './policy.ts';
import { forCertainUsers, noOwnFiles, notPlain, policyRefusal, unlistedBlockDevice } from './refusals.ts';
import { isOneOf, type Person } from './who.ts';

export interface StorageRoot extends StorageRule {
  readonly path: string;
  /** Key of the policy, `storageRoots[1]`. */
  readonly rule?: string;
  /** Files in it must belong to this uid and have no other name: a directory that is not root's own. */
  readonly ownedBy?: number;
}

/** The policy's roots, and the manager's own store of UEFI variables, which no policy names. */
export function rootsOf(
  policy: Policy,
  store: { readonly path: string; readonly ownedBy: number },
): StorageRoot[] {
  const roots = policy.storageRoots.map((root, index) => ({ ...root, rule: `storageRoots[${index}]` }));
  return [...roots, { ...store, access: 'rw', who: null }];
}

/** Where a path lies: beneath a storage root, or a block device that the policy names. */
export type FilePlace = StorageRoot &
  (
    | { readonly kind: 'root'; readonly relative: string }
    /** `volume`: what device mapper calls it, `GROUP-VOLUME`; null: no matter what the node is. */
    | { readonly kind: 'device'; readonly volume: string | null }
  );

/** A user who claimed files for the machine. */
export interface Claimant extends Person {
  readonly uid: number;
  /** For which the claims count. */
  readonly machine: string;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly claimed: (path: string, access: FileRequest['access']) => boolean;
}

export interface FileGrounds {
  readonly policy: Policy;
  readonly roots: readonly StorageRoot[];
  /** The user of a uid, or why it can be nobody's who claims. */
  readonly claimantOf: (uid: number) => Claimant | Refusal;
}

/** `claimant` null: opened with root's rights. `place` null: nowhere that the policy speaks of. */
export type FileGrant =
  | { readonly ok: true; readonly place: FilePlace | null; readonly claimant: Claimant }
  | { readonly ok: true; readonly place: FilePlace; readonly claimant: null }
  | { readonly ok: false; readonly refusal: Refusal };

/** The device that the policy names, or the longest storage root; the path as `absolutePath` has it. */
export function placeOf(
  path: string,
  policy: Pick<Policy, 'blockDevices' | 'lvmGroups'>,
  roots: readonly StorageRoot[],
): FilePlace | null {
  const device = policy.blockDevices.findIndex((one) => one.path === path);
  const named = policy.blockDevices[device];
  if (named !== undefined) return { kind: 'device', volume: null, ...named, rule: `blockDevices[${device}]` };
  for (const [index, group] of policy.lvmGroups.entries()) {
    const volume = volumeOf(path, group.group);
    if (volume !== null) return { kind: 'device', volume, ...group, path, rule: `lvmGroups[${index}]` };
  }
  const [root] = roots
    .filter((one) => path.startsWith(`${one.path}/`))
    .toSorted((left, right) => right.path.length - left.path.length);
  if (root === undefined) return null;
  return { kind: 'root', ...root, relative: path.slice(root.path.length + 1) };
}

/** What device mapper calls the volume of the group at a path: a dash in either name is doubled (lvm2, lib/misc/lvm-string.c). */
export function volumeOf(path: string, group: string): string | null {
  const doubled = (name: string): string => name.replaceAll('-', '--');
  const [, , directory = '', name = '', ...more] = path.split('/');
  if (!path.startsWith('/dev/') || name === '' || more.length > 0) return null;
  if (directory === group) return `${doubled(group)}-${doubled(name)}`;
  // A name has no dash at its start: what follows the single dash is another group's if it begins with one.
  const prefix = `${doubled(group)}-`;
  return directory === 'mapper' && name.startsWith(prefix) && !/^-|^$/.test(name.slice(prefix.length))
    ? name
    : null;
}

/** Whether the file may be opened, and with whose rights. */
export function grantOf(file: FileRequest, { policy, roots, claimantOf }: FileGrounds): FileGrant {
  const found = findPlace(file, policy, roots);
  if (!found.ok) return found;
  if (file.claimant === null) return grantToAll(file.path, found.place, roots);
  const claimant = claimantOf(file.claimant);
  if ('code' in claimant) return { ok: false, refusal: claimant };
  return grantByClaim(file, { claimant, place: found.place }, policy);
}

/** As `grantOf`, of what lies beneath a storage root for every machine. */
export function rootOf(
  path: string,
  access: FileRequest['access'],
  roots: readonly StorageRoot[],
): FileGrant {
  const found = findPlace({ path, access }, { blockDevices: [], lvmGroups: [] }, roots);
  return found.ok ? grantToAll(path, found.place, roots) : found;
}

type Found = { readonly ok: true; readonly place: FilePlace | null };
type Refused = FileGrant & { readonly ok: false };

function findPlace(
  { path, access }: Omit<FileRequest, 'claimant'>,
  policy: Pick<Policy, 'blockDevices' | 'lvmGroups'>,
  roots: readonly StorageRoot[],
): Found | Refused {
  // SECURITY: promise 1. No `..` part ever reaches the file system, and a root is matched at a slash.
  if (!absolutePath.test(path)) return refused(notPlain(path));
  const place = placeOf(path, policy, roots);
  if (place === null || access === 'ro' || place.access === 'rw') return { ok: true, place };
  const where = place.kind === 'root' ? `is beneath ${place.path}, which is` : 'is';
  const hint = `set readonly: true in the definition, or access "rw" in ${policyFile}`;
  return refused(policyRefusal(`"${path}" ${where} read-only`, hint, place.rule));
}

const refused = (refusal: Refusal): Refused => ({ ok: false, refusal });

function grantToAll(path: string, place: FilePlace | null, roots: readonly StorageRoot[]): FileGrant {
  if (place?.who === null) return { ok: true, place, claimant: null };
  if (place !== null)
    return refused(
      forCertainUsers(path, 'one of them defines the machine, or "who" is taken out', place.rule),
    );
  if (path.startsWith('/dev/')) return refused(unlistedBlockDevice(path));
  const hint = `move it beneath ${roots[0]?.path ?? 'a storage root'}, or add its directory to storageRoots in ${policyFile}`;
  return refused(policyRefusal(`"${path}" is outside the storage roots`, hint, 'storageRoots'));
}

function grantByClaim(
  { path, access }: FileRequest,
  { claimant, place }: { readonly claimant: Claimant; readonly place: FilePlace | null },
  { ownerClaims }: Policy,
): FileGrant {
  const { name, machine } = claimant;
  // SECURITY: promise 1. What the manager says of a user is nothing: the claim came over the user's own connection.
  if (!claimant.claimed(path, access))
    return refused(
      policyRefusal(
        `user ${name} did not claim "${path}" ${access === 'rw' ? 'to be written' : 'to be read'} for this machine`,
        `as ${name}: qward claim ${machine} "${path}"${access === 'rw' ? ' --rw' : ''}, or define the machine anew`,
        'user-claims',
      ),
    );
  const who = place?.who ?? null;
  if (place !== null && who !== null && isOneOf(who, claimant)) return { ok: true, place, claimant: null };
  if (place?.who === null || (place?.kind !== 'device' && ownerClaims)) return { ok: true, place, claimant };
  return refused(
    place?.kind === 'device'
      ? forCertainUsers(path, `add ${name} to "who"`, place.rule)
      : noOwnFiles(path, name ?? 'the user'),
  );
}
