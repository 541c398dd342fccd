/** As root: what a jail shows of the host at its own paths, each as a mount that stands nowhere yet. */
import { closeSync } from 'node:fs';
import { openToShow, type OpenFile } from '../linux/descriptors.ts';
import { errorCode } from '../linux/errno.ts';
import { cloneMount } from '../linux/idmapped.ts';
import { withRightsOf } from '../linux/open-as.ts';
import type { FileGrounds } from '../policy/file-rules.ts';
import { shownGrant, type ShownGrant } from '../policy/shown-rules.ts';
import type { Refusal } from '../protocol/broker.ts';
import type { LaunchRequest, Shown } from '../protocol/launch.ts';
import { explainFile } from './file-refusals.ts';
import { refusedAs } from './refused-as.ts';

/** A mount for a jail's tree. The caller closes `mount`. */
export interface ShownMount {
  readonly mount: number;
  readonly target: string;
  readonly directory: boolean;
}

export type ShownOutcome =
  | { readonly ok: true; readonly mounts: readonly ShownMount[] }
  | { readonly ok: false; readonly refusals: readonly Refusal[] };

/** All of them or none; `uid` is the machine's. */
export async function openShown(
  { shown = [], program }: Pick<LaunchRequest, 'shown' | 'program'>,
  grounds: FileGrounds,
  uid: number,
): Promise<ShownOutcome> {
  const mounts: ShownMount[] = [];
  const refusals: Refusal[] = [];
  try {
    for (const one of shown) {
      const opened = await openOne(one, shownGrant(one, grounds), { uid, shares: program === 'virtiofsd' });
      if ('mount' in opened) mounts.push(opened);
      else refusals.push(opened);
    }
    return refusals.length === 0 ? { ok: true, mounts: mounts.splice(0) } : { ok: false, refusals };
  } finally {
    for (const { mount } of mounts) closeSync(mount);
  }
}

async function openOne(
  one: Shown,
  grant: ShownGrant,
  { uid, shares }: { readonly uid: number; readonly shares: boolean },
): Promise<ShownMount | Refusal> {
  if (!grant.ok) return grant.refusal;
  const { claimant } = grant;
  const open = (): OpenFile => openToShow(one.path, one.access, one.kind, grant.place?.ownedBy);
  // SECURITY: promise 4. What a user gave is looked at with that user's rights, and none of root's.
  const file = refusedAs(
    () => (claimant === null ? open() : withRightsOf(claimant, open)),
    (code, error) => explainFile(one, code, { place: null, user: claimant?.name ?? null, error }),
  );
  if ('code' in file) return file;
  const { fd, stats } = file;
  // SECURITY: promise 4. In a directory the machine has no more than the user has: only the user's own files are its own there.
  const owner = stats.isDirectory() && claimant !== null ? claimant : stats;
  // SECURITY: promise 4. No guest is root of the host in a folder: what is root's it reads as everybody may, and writes nothing.
  const ofRoot = shares && (owner.uid === 0 || owner.gid === 0);
  try {
    if (shares && (!stats.isDirectory() || (ofRoot && one.access === 'rw'))) return noFolder(one.path);
    const mount = await clone(fd, one, { stats, owner: ofRoot ? null : owner, uid, shares });
    return { mount, target: one.path, directory: stats.isDirectory() };
  } catch (error) {
    const code = errorCode(error);
    if (code === '') throw error;
    return {
      code: 'file-unreadable',
      message: `"${one.path}": its file system cannot show it to the machine (${code})`,
      hint: 'let others read it, or move it to ext4, xfs, btrfs or tmpfs',
    };
  } finally {
    closeSync(fd);
  }
}

const noFolder = (path: string): Refusal => ({
  code: 'file-kind',
  message: `"${path}" is root's, or no folder: no guest writes in it`,
  hint: 'give it to a user and a group of users (chown USER:), or share it with readonly: true',
});

type Stats = OpenFile['stats'];

/** As the machine's own where its file system can show it so, else as it is, where everybody may use it so. */
async function clone(
  fd: number,
  { access }: Shown,
  {
    stats,
    owner,
    uid,
    shares,
  }: {
    readonly stats: Stats;
    readonly owner: { readonly uid: number; readonly gid: number } | null;
    readonly uid: number;
    readonly shares: boolean;
  },
): Promise<number> {
  const wanted = access === 'rw' ? 0o006 : 0o004;
  const forAll = (stats.mode & wanted) === wanted;
  if (forAll && !stats.isDirectory()) return await cloneMount(fd, { access, owner: null, uid });
  try {
    return await cloneMount(fd, { access, owner, uid });
  } catch (error) {
    // SECURITY: promise 2. What a guest writes never belongs to a uid that is another machine's later.
    if (!forAll || (shares && access === 'rw') || errorCode(error) === '') throw error;
    return await cloneMount(fd, { access, owner: null, uid });
  }
}
