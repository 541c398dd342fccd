/** Which images of a machine go with it when its disks are to be removed as well. */
import { constants } from 'node:fs';
import { access, lstat, realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { MachineDefinition } from '../../definition/schema.ts';
import { failure, success, type Outcome } from '../outcome.ts';

export interface RemovalContext {
  /** Directories beneath which images may lie. */
  readonly storageRoots: readonly string[];
  /** Definitions of all other machines. */
  readonly others: readonly MachineDefinition[];
  /** Whether the user may know of that machine. */
  readonly visible: (name: string) => boolean;
  /** Whether an administrator asks. */
  readonly administrator: boolean;
  /** The manager's own user. */
  readonly uid: number;
}

/** The paths to unlink, or the reason for each that cannot be: then nothing is to be removed at all. */
export async function removableDisks(
  definition: MachineDefinition,
  context: RemovalContext,
): Promise<Outcome<readonly string[]>> {
  const paths = definition.disks.filter((disk) => !disk.readonly && !disk.shared).map(({ path }) => path);
  const reasons: string[] = [];
  const removable: string[] = [];
  for (const path of paths) {
    const reason = await whyKept(path, context);
    if (reason === undefined) removable.push(path);
    else if (reason !== 'gone') reasons.push(`"${path}": ${reason}`);
  }
  if (reasons.length === 0) return success(removable);
  return failure(
    'not-allowed',
    `machine "${definition.name}" was not removed, since disks of it cannot be: ${reasons.join('; ')}`,
    `remove the machine alone (\`qward rm ${definition.name}\`), and the images by hand`,
  );
}

async function whyKept(
  path: string,
  { storageRoots, others, visible, administrator, uid }: RemovalContext,
): Promise<string | undefined> {
  const user = others.find(({ disks }) =>
    disks.some((disk) => disk.path === path || disk.backing.some((image) => image.path === path)),
  );
  if (user !== undefined)
    return visible(user.name) ? `machine "${user.name}" uses it too` : 'another machine uses it too';
  if (!storageRoots.some((root) => path.startsWith(`${root}/`))) return 'it lies outside the storage roots';
  try {
    const stats = await lstat(path);
    if (!stats.isFile() || (await realpath(path)) !== path)
      return 'it is not a regular file, or a link leads to it';
    if (stats.uid !== uid) return `it belongs to uid ${stats.uid}, and qward removes only what is its own`;
    // SECURITY: promise 4. A path in a definition makes nobody the owner of what qward made for administrators.
    if (!administrator) return "administrators alone remove images that are qward's own";
    await access(dirname(path), constants.W_OK);
    return undefined;
  } catch (error) {
    const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined;
    return code === 'ENOENT' ? 'gone' : `the manager's user may not remove it (${String(code)})`;
  }
}
