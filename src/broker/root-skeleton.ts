/**
 * The jail's root on disk: an empty tree with a mount point for each system path. It is the same for every machine with
 * the same QEMU, lies on /run, is mounted read-only, and each machine binds its files over it in its own namespace.
 */
import { createHash, randomUUID } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { statSystemPath } from '../linux/descriptors.ts';
import type { SystemPath } from '../protocol/launch.ts';
import type { Refusal } from '../protocol/broker.ts';
import { errorCode } from './files.ts';

export type SkeletonOutcome =
  | { readonly ok: true; readonly directory: string }
  | { readonly ok: false; readonly refusals: readonly Refusal[] };

/** Checks each source on the host and gives the tree, made at first use. */
export function openSkeleton(parent: string, root: readonly SystemPath[]): SkeletonOutcome {
  const kinds: ('file' | 'directory')[] = [];
  const refusals: Refusal[] = [];
  for (const { source } of root) {
    const kind = kindOf(source);
    if (typeof kind === 'string') kinds.push(kind);
    else refusals.push(kind);
  }
  if (refusals.length > 0) return { ok: false, refusals };
  const points = root.map(({ target }, index) => `${kinds[index]} ${target}`).sort();
  const directory = `${parent}/${createHash('sha256').update(points.join('\n')).digest('hex').slice(0, 32)}`;
  if (!existsSync(directory)) build(directory, points);
  return { ok: true, directory };
}

/** SECURITY: promise 2. Only what root owns, nobody else can write and anybody may read is shown in a jail, and no link to it. */
function kindOf(source: string): 'file' | 'directory' | Refusal {
  const refused = (why: string): Refusal => ({
    code: 'broker-refused',
    message: `"${source}" cannot be shown in a jail: ${why}`,
    hint: 'reinstall the package that the file belongs to',
  });
  try {
    const stats = statSystemPath(source);
    if (stats.uid !== 0 || (stats.mode & 0o022) !== 0) return refused('others than root can write it');
    if ((stats.mode & 0o004) === 0) return refused('not everybody may read it');
    if (stats.isFile()) return 'file';
    return stats.isDirectory() ? 'directory' : refused('neither a file nor a directory');
  } catch (error) {
    return refused(errorCode(error) || 'cannot be opened');
  }
}

/** Builds the tree aside and renames it into place: a half-made one is never used. */
function build(directory: string, points: readonly string[]): void {
  const fresh = `${directory}.${randomUUID()}`;
  try {
    for (const name of ['proc', 'dev', 'usr/lib', 'usr/lib64'])
      mkdirSync(`${fresh}/${name}`, { recursive: true, mode: 0o755 });
    symlinkSync('usr/lib', `${fresh}/lib`);
    symlinkSync('usr/lib64', `${fresh}/lib64`);
    for (const point of points) {
      const [kind, target] = [point.slice(0, point.indexOf(' ')), point.slice(point.indexOf(' ') + 1)];
      if (kind === 'directory') mkdirSync(`${fresh}${target}`, { recursive: true, mode: 0o755 });
      else {
        mkdirSync(dirname(`${fresh}${target}`), { recursive: true, mode: 0o755 });
        closeSync(openSync(`${fresh}${target}`, 'a', 0o644));
      }
    }
    renameSync(fresh, directory);
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    if (!existsSync(directory)) throw error;
  }
}
