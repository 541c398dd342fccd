/** Files of the operating system that a jail may show: what they really are, and whether root alone can change them. */
import { lstat, realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorCode } from '../../linux/errno.ts';

export type ResolvedPath =
  | { readonly ok: true; readonly source: string; readonly kind: 'file' | 'directory' }
  | { readonly ok: false; readonly why: string };

/** Directories that were looked at, with what is wrong with each (null: nothing); shared by the files of one gathering. */
export type DirectoryFindings = Map<string, string | null>;

/** The real path of a file or directory, if it lies beneath /usr and others than root cannot change it or swap it. */
export async function resolveSystemPath(path: string, findings: DirectoryFindings): Promise<ResolvedPath> {
  try {
    const source = await realpath(path);
    if (!source.startsWith('/usr/')) return { ok: false, why: `${source} does not lie beneath /usr` };
    const stats = await lstat(source);
    const owned = ownershipFault(source, stats);
    if (owned !== null) return { ok: false, why: owned };
    for (let directory = dirname(source); ; directory = dirname(directory)) {
      const why = await directoryFault(directory, findings);
      if (why !== null) return { ok: false, why };
      if (directory === '/') break;
    }
    if (stats.isFile()) return { ok: true, source, kind: 'file' };
    if (stats.isDirectory()) return { ok: true, source, kind: 'directory' };
    return { ok: false, why: `${source} is neither a file nor a directory` };
  } catch (error) {
    return { ok: false, why: `${path}: ${errorCode(error) || String(error)}` };
  }
}

async function directoryFault(directory: string, findings: DirectoryFindings): Promise<string | null> {
  const known = findings.get(directory);
  if (known !== undefined) return known;
  const found = ownershipFault(directory, await lstat(directory));
  findings.set(directory, found);
  return found;
}

// SECURITY: promise 2. What every jail executes can be changed by root alone. The broker checks it once more.
function ownershipFault(path: string, stats: { readonly uid: number; readonly mode: number }): string | null {
  if (stats.uid !== 0) return `${path} belongs to uid ${stats.uid}, not to root`;
  return (stats.mode & 0o022) === 0 ? null : `${path} can be written by others than root`;
}

/** The path by which the jail's root, which has /lib and /lib64 as links into /usr, shows a library. */
export function targetInJail(path: string): string {
  return path.startsWith('/lib/') || path.startsWith('/lib64/') ? `/usr${path}` : path;
}
