/**
 * What files a text names that a user wrote, as far as they can be told without the schema: for the claims that a client
 * makes before it defines a machine. The schema is large, and the manager holds the definition against it anyway.
 */
import { isPlainMap, valueAt, type KeyPath, type Plain } from './key-path.ts';
import { claimableFiles, type NeededFile, type PartsWithFiles } from './named-files.ts';
import { readYaml } from './read-yaml.ts';

export interface WrittenFiles {
  readonly name: string;
  readonly files: readonly NeededFile[];
  /** Ids of the disks that the machine does not write to. */
  readonly readonlyDisks: readonly string[];
}

/** Undefined for a text that is no YAML or has no name: nothing is claimed for what may be read in two ways. */
export function writtenFiles(source: string): WrittenFiles | undefined {
  const { faults, value } = readYaml(source);
  const name = textAt(value, ['name']);
  if (faults.length > 0 || name === undefined) return undefined;
  const parts = partsOf(value);
  const readonlyDisks = parts.disks.filter((disk) => disk.readonly).map(({ id }) => id);
  return { name, files: claimableFiles(parts), readonlyDisks };
}

function partsOf(value: Plain): PartsWithFiles {
  return {
    boot: { kernel: textAt(value, ['boot', 'kernel']), initrd: textAt(value, ['boot', 'initrd']) },
    disks: itemsAt(value, ['disks']).flatMap((disk) => {
      const path = textAt(disk, ['path']);
      if (path === undefined) return [];
      const backing = itemsAt(disk, ['backing']).flatMap((image) => {
        const below = textAt(image, ['path']);
        return below === undefined ? [] : [{ path: below }];
      });
      const readonly = valueAt(disk, ['readonly']) === true;
      return [{ id: textAt(disk, ['id']) ?? '', path, readonly, backing }];
    }),
    cdroms: itemsAt(value, ['cdroms']).map((cdrom) => ({
      id: textAt(cdrom, ['id']) ?? '',
      path: textAt(cdrom, ['path']),
    })),
    shares: itemsAt(value, ['shares']).flatMap((share) => {
      const path = textAt(share, ['path']);
      return path === undefined ? [] : [{ path, readonly: valueAt(share, ['readonly']) === true }];
    }),
    confinement: {
      files: itemsAt(value, ['confinement', 'files']).flatMap((file) => {
        const path = textAt(file, ['path']);
        const access = textAt(file, ['access']) === 'rw' ? 'rw' : 'ro';
        return path === undefined ? [] : [{ path, access }];
      }),
      sockets: pathsAt(value, ['confinement', 'sockets']),
    },
    sound: { server: textAt(value, ['sound', 'server']) },
  };
}

function textAt(value: Plain, path: KeyPath): string | undefined {
  const text = valueAt(value, path);
  return typeof text === 'string' ? text : undefined;
}

/** Items that are paths, or have one. */
function pathsAt(value: Plain, path: KeyPath): readonly string[] {
  const items = valueAt(value, path);
  if (!Array.isArray(items)) return [];
  return (items as readonly Plain[]).flatMap((item) =>
    typeof item === 'string' ? [item] : (textAt(item, ['path']) ?? []),
  );
}

function itemsAt(value: Plain, path: KeyPath): readonly Plain[] {
  const items = valueAt(value, path);
  return Array.isArray(items) ? (items as readonly Plain[]).filter(isPlainMap) : [];
}

/** A key of `qward set` whose value is the path of a file, with the access that the machine gets by default. */
export function accessOfKey(key: string): NeededFile['access'] | undefined {
  if (/^disks\.[^.]+\.path$/.test(key)) return 'rw';
  return /^(?:cdroms\.[^.]+\.path|boot\.kernel|boot\.initrd)$/.test(key) ? 'ro' : undefined;
}
