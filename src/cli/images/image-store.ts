/**
 * Where images to start from lie: NAME.qcow2 with NAME.json beside it. Root's store is a storage root of the policy, which
 * others find images in too; every other user has one in the own home.
 */
import {
  closeSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { randomBytes } from 'node:crypto';
import { isAbsolute } from 'node:path';
import { errnoText } from '../../api/errno-text.ts';
import { pathsBelow, systemRoots } from '../../protocol/paths.ts';
import type { CommandFault } from '../command.ts';
import type { Context } from '../context.ts';
import { algorithms, type Algorithm } from './checksum.ts';
import { imageName, loginName } from './image-name.ts';

export interface ImageRecord {
  readonly name: string;
  /** URL or path that it came from. */
  readonly source: string;
  readonly algorithm: Algorithm;
  /** Of the source, hexadecimal. */
  readonly checksum: string;
  /** The source's; the image itself is qcow2. */
  readonly sourceFormat: string;
  /** When it was added, as ISO 8601 has it. */
  readonly addedAt: string;
  /** Whom to log in as; null: not known. */
  readonly user: string | null;
  /** For a machine with it, as a definition has it; null: as any machine. */
  readonly memory: string | null;
}

export interface StoredImage extends ImageRecord {
  readonly path: string;
  /** Of the file, bytes. */
  readonly size: number;
  /** The caller's own store has it. */
  readonly own: boolean;
}

export interface Stores {
  /** Where new images go. */
  readonly own: string;
  /** Others in which images are found. */
  readonly shared: readonly string[];
}

const version = 1;
const maxRecordBytes = 64 * 1024;

/** A directory of the user's for data (XDG base directories). */
export function ownPlace(env: Context['io']['env'], kind: 'DATA' | 'CACHE' | 'STATE'): string | CommandFault {
  const fallbacks = { DATA: '.local/share', CACHE: '.cache', STATE: '.local/state' };
  const named = env[`XDG_${kind}_HOME`] ?? '';
  if (isAbsolute(named)) return `${named.replace(/\/+$/, '')}/qward`;
  const home = env['HOME'] ?? '';
  if (isAbsolute(home)) return `${home.replace(/\/+$/, '')}/${fallbacks[kind]}/qward`;
  return { message: 'HOME names no directory', hint: `set HOME, or XDG_${kind}_HOME` };
}

/** Root's are the storage roots that it may write; the default one first. */
export async function storesOf(
  context: Context,
): Promise<Stores | { readonly faults: readonly CommandFault[] }> {
  const reply = await context.client.call('disks', {}).catch(() => undefined);
  const roots = reply?.ok === true ? reply.result.roots.filter(({ access }) => access === 'rw') : [];
  const standard = pathsBelow(systemRoots).images;
  const paths = roots
    .map(({ path }) => path)
    .sort((one, other) => Number(other === standard) - Number(one === standard));
  if ((await context.client.reach.uid()) === 0) {
    const [own] = paths;
    if (own !== undefined) return { own, shared: paths.slice(1) };
    const message = 'no storage root of the policy is one to write to';
    return {
      faults: reply?.ok === false ? reply.faults : [{ message, hint: `add ${standard} to storageRoots` }],
    };
  }
  const place = ownPlace(context.io.env, 'DATA');
  if (typeof place !== 'string') return { faults: [place] };
  return { own: `${place}/images`, shared: paths.length > 0 ? paths : [standard] };
}

export const imagePath = (store: string, name: string): string => `${store}/${name}.qcow2`;
const recordPath = (store: string, name: string): string => `${store}/${name}.json`;

/** Every image with its record; the own before others of the same name. */
export function listImages({ own, shared }: Stores): readonly StoredImage[] {
  const found = new Map<string, StoredImage>();
  for (const store of [own, ...shared])
    for (const file of filesIn(store)) {
      const name = /^(.+)\.json$/.exec(file)?.[1] ?? '';
      if (!imageName.test(name) || found.has(name)) continue;
      const image = imageIn(store, name, store === own);
      if (image !== undefined) found.set(name, image);
    }
  return [...found.values()].sort((one, other) => one.name.localeCompare(other.name));
}

export function findImage({ own, shared }: Stores, name: string): StoredImage | undefined {
  if (!imageName.test(name)) return undefined;
  for (const store of [own, ...shared]) {
    const image = imageIn(store, name, store === own);
    if (image !== undefined) return image;
  }
  return undefined;
}

function filesIn(store: string): readonly string[] {
  try {
    return readdirSync(store);
  } catch {
    return [];
  }
}

function imageIn(store: string, name: string, own: boolean): StoredImage | undefined {
  const path = imagePath(store, name);
  try {
    const { size } = lstatSync(path);
    const file = recordPath(store, name);
    if (statSync(file).size > maxRecordBytes) return undefined;
    const record = parseRecord(name, JSON.parse(readFileSync(file, 'utf8')));
    return record === undefined ? undefined : { ...record, path, size, own };
  } catch {
    return undefined;
  }
}

/** The record; undefined where it is not one of this version's. */
function parseRecord(name: string, data: unknown): ImageRecord | undefined {
  if (typeof data !== 'object' || data === null) return undefined;
  const fields = new Map(Object.entries(data));
  const text = (key: string): string => {
    const value: unknown = fields.get(key);
    return typeof value === 'string' && value.length <= 4096 ? value : '';
  };
  const algorithm = algorithms.find((one) => one === text('algorithm'));
  if (fields.get('version') !== version || algorithm === undefined) return undefined;
  return {
    name,
    source: text('source'),
    algorithm,
    checksum: text('checksum'),
    sourceFormat: text('sourceFormat'),
    addedAt: text('addedAt'),
    user: loginName.test(text('user')) ? text('user') : null,
    memory: text('memory') || null,
  };
}

/** Beside the image, whole or not at all; what stands there already is a fault. */
export function writeRecord(store: string, record: ImageRecord): CommandFault | undefined {
  const path = recordPath(store, record.name);
  const part = `${store}/.${record.name}.${randomBytes(6).toString('hex')}`;
  try {
    writeFileSync(part, `${JSON.stringify({ version, ...record }, null, 2)}\n`, { flag: 'wx', mode: 0o644 });
    try {
      syncPath(part);
      linkSync(part, path);
    } finally {
      unlinkSync(part);
    }
    syncPath(store);
    return undefined;
  } catch (error) {
    return {
      message: `${path} cannot be written: ${errnoText(error)}`,
      hint: 'remove it, or choose another name',
    };
  }
}

/** SECURITY: promise 7. What was written of a file, or the names in a directory, are on disk. */
function syncPath(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Makes the directory, for its user alone where it is not there. */
export function prepareStore(store: string): CommandFault | undefined {
  try {
    mkdirSync(store, { recursive: true, mode: 0o700 });
    return undefined;
  } catch (error) {
    return { message: `${store} cannot be made: ${errnoText(error)}`, hint: '' };
  }
}

/** The image and its record, as far as they are there; the faults where one stays. */
export function removeImage(
  store: string,
  name: string,
): { readonly removed: readonly string[]; readonly faults: readonly CommandFault[] } {
  const removed: string[] = [];
  const faults: CommandFault[] = [];
  // The image goes first: a record alone is no image.
  for (const path of [imagePath(store, name), recordPath(store, name)])
    try {
      unlinkSync(path);
      removed.push(path);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT'))
        faults.push({ message: `${path} cannot be removed: ${errnoText(error)}`, hint: '' });
    }
  return { removed, faults };
}

export function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
