/** part, list-directory: images that jobs make beneath the storage roots, and what lies there. */
import {
  closeSync,
  constants,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  readdirSync,
  statfsSync,
  unlinkSync,
} from 'node:fs';
import { openSystemPath } from '../../linux/descriptors.ts';
import { rootOf } from '../../policy/file-rules.ts';
import { absolutePath } from '../../policy/policy.ts';
import type { DirectoryListing } from '../../protocol/broker.ts';
import { diskJobPattern, maxTargetNameBytes, partPath, type PartAction } from '../../protocol/disk-job.ts';
import { refuse, storageRoots, type BrokerContext, type HandlerOutcome } from '../context.ts';
import { errorCode } from '../../linux/errno.ts';

/** Entries that are told of one directory. */
const maxEntries = 4096;

/**
 * Why the policy, as it is now, gives the path to no job; undefined where it lies in a root for every machine.
 * SECURITY: promise 1. All roots are asked: one for certain users, or to be read alone, may lie within one for every machine.
 */
function refuseRoot(context: BrokerContext, path: string, access: 'ro' | 'rw'): HandlerOutcome | undefined {
  const policy = context.readPolicy();
  if (!policy.ok) return policy;
  const roots = storageRoots(policy.policy, context).filter(({ ownedBy }) => ownedBy === undefined);
  const found = rootOf(path, access, roots);
  return found.ok ? undefined : { ok: false, refusals: [found.refusal] };
}

/**
 * Makes a part, gives it its final name, or removes it.
 * SECURITY: promise 1. The manager cannot choose what is removed: it is named after a job, and nothing is ever replaced.
 */
export function handlePart(
  context: BrokerContext,
  { machine, path, action }: { readonly machine: string; readonly path: string; readonly action: PartAction },
): HandlerOutcome {
  const refused = refuseRoot(context, path, 'rw');
  if (refused !== undefined) return refused;
  if (!diskJobPattern.test(machine) || Buffer.byteLength(nameOf(path)) > maxTargetNameBytes)
    return refuse('broker-refused', `"${path}" cannot be made for "${machine}"`, 'choose a shorter name');
  return inDirectory(path.slice(0, path.lastIndexOf('/')), path, (directory) => {
    const [name, part] = [`${directory}/${nameOf(path)}`, `${directory}/${nameOf(partPath(path, machine))}`];
    if (action === 'create') {
      if (lstatSync(name, { throwIfNoEntry: false }) !== undefined) return exists(path);
      // SECURITY: promise 3. A new file of root's own; one that is there is never opened, emptied or changed.
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
      closeSync(openSync(part, flags, 0o600));
    } else {
      if (action === 'publish') linkSync(part, name);
      unlinkSync(part);
      const fd = openSync(directory, constants.O_RDONLY);
      fsyncSync(fd);
      closeSync(fd);
    }
    return { ok: true, result: {} };
  });
}

/** A storage root, or a directory beneath one. */
export function handleListDirectory(context: BrokerContext, path: string): HandlerOutcome {
  // What lies in it, so that a root is in itself.
  const refused = refuseRoot(context, `${path}/*`, 'ro');
  if (refused !== undefined) return refused;
  return inDirectory(path, path, (directory) => {
    const names = readdirSync(directory);
    const entries = names.slice(0, maxEntries).flatMap((name) => {
      const stats = lstatSync(`${directory}/${name}`, { throwIfNoEntry: false });
      if (stats === undefined || !absolutePath.test(`/${name}`) || !(stats.isFile() || stats.isDirectory()))
        return [];
      return [{ name, directory: stats.isDirectory(), size: stats.size, allocated: stats.blocks * 512 }];
    });
    const { bsize, bavail, blocks } = statfsSync(directory);
    const listing: DirectoryListing = {
      entries,
      more: names.length > maxEntries,
      free: bavail * bsize,
      total: blocks * bsize,
    };
    return { ok: true, result: listing };
  });
}

const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** `work` gets a path of the very directory that was reached without a link. */
function inDirectory(
  directory: string,
  subject: string,
  work: (directory: string) => HandlerOutcome,
): HandlerOutcome {
  let fd: number | undefined;
  try {
    // SECURITY: promise 1. No link anywhere in the path: what is swapped meanwhile is not followed.
    fd = openSystemPath(directory).fd;
    return work(`/proc/self/fd/${fd}`);
  } catch (error) {
    const code = errorCode(error);
    if (code === '') throw error;
    if (code === 'EEXIST') return exists(subject);
    return refuse(
      code === 'ENOENT' ? 'file-missing' : 'file-unreadable',
      `"${subject}": ${directory} cannot be used (${code})`,
      code === 'ENOSPC'
        ? 'make room on its file system'
        : 'name a directory beneath a storage root, without links',
    );
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function exists(path: string): HandlerOutcome {
  return refuse('file-exists', `"${path}" is there already`, 'choose another name, or remove it');
}
