/** From a URL or a file to an image in the store: fetched, held against its checksum, imported in a jail, and then named. */
import { constants, copyFileSync, rmSync, statSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { errnoText } from '../../api/errno-text.ts';
import type { CommandFault } from '../command.ts';
import type { Context } from '../context.ts';
import type { SourceFormat } from '../disk/disk-input.ts';
import type { Progress } from '../progress.ts';
import { bar } from '../render/bar.ts';
import { formatBytes } from '../render/sizes.ts';
import { checksumOf, findChecksum, type Algorithm, type Checksum } from './checksum.ts';
import { download, forgetDownload } from './download.ts';
import { getText, usualLimits } from './http-get.ts';
import {
  findImage,
  imagePath,
  isThere,
  ownPlace,
  prepareStore,
  removeImage,
  writeRecord,
  type StoredImage,
  type Stores,
} from './image-store.ts';
import { createHash } from 'node:crypto';

export interface NewImage {
  readonly name: string;
  readonly from: { readonly url: URL } | { readonly file: string };
  /** Known, or listed where the distribution lists it. */
  readonly checksum: Checksum | { readonly list: URL; readonly algorithm: Algorithm };
  readonly format: SourceFormat;
  readonly user: string | null;
  readonly memory: string | null;
  /** No more is fetched, bytes. */
  readonly most: number;
}

export type Added =
  | { readonly ok: true; readonly image: StoredImage }
  | { readonly ok: false; readonly faults: readonly CommandFault[] };

interface Work {
  readonly context: Context;
  readonly stores: Stores;
  readonly signal: AbortSignal;
  readonly progress: Progress;
}

/** A file of the caller's own with the bytes of the source. */
interface Source {
  readonly path: string;
  readonly remove: () => Promise<void>;
}

const maxListBytes = 4 * 1024 ** 2;
const failedWith = (message: string, hint = ''): Added & { ok: false } => ({
  ok: false,
  faults: [{ message, hint }],
});

/** What is wrong before anything is fetched. */
export async function faultsBeforeAdding(
  { name, from }: Pick<NewImage, 'name' | 'from'>,
  stores: Stores,
  uid: number,
): Promise<readonly CommandFault[]> {
  const faults: CommandFault[] = [];
  if (isThere(imagePath(stores.own, name)))
    faults.push({
      message: `image "${name}" is there already: ${imagePath(stores.own, name)}`,
      hint: `choose another name, or remove it: qward image rm ${name}`,
    });
  // SECURITY: promise 1. Nothing of root's talks to servers of the network.
  if ('url' in from && uid === 0)
    faults.push({
      message: 'root fetches nothing from the network',
      hint: `fetch the file as an ordinary user, and add that: qward image add ${name} FILE --sha256 …`,
    });
  if ('file' in from) {
    const fault = faultOfFile(from.file);
    if (fault !== undefined) faults.push(fault);
  }
  return faults;
}

function faultOfFile(path: string): CommandFault | undefined {
  try {
    return statSync(path).isFile() ? undefined : { message: `${path} is not a regular file`, hint: '' };
  } catch (error) {
    return { message: `${path} cannot be read: ${errnoText(error)}`, hint: '' };
  }
}

export async function addImage(wanted: NewImage, work: Work): Promise<Added> {
  const fault = prepareStore(work.stores.own);
  if (fault !== undefined) return { ok: false, faults: [fault] };
  const expected = await expectedChecksum(wanted, work);
  if ('ok' in expected) return expected;
  const source = await fetchSource(wanted, work);
  if ('ok' in source) return source;
  let keep = false;
  try {
    const { size } = statSync(source.path);
    const found = await checksumOf(source.path, expected.algorithm, {
      signal: work.signal,
      onBytes: (bytes) => work.progress.label(`checking ${wanted.name} ${bar((100 * bytes) / size)}`),
    });
    // SECURITY: rule download. What does not have the checksum is not looked into, and does not stay.
    if (found.hex !== expected.hex)
      return failedWith(
        `image "${wanted.name}" has the wrong bytes: ${expected.algorithm} ${expected.hex} expected, ${found.hex} found`,
        'what was fetched is removed; look whether the checksum belongs to this file',
      );
    keep = true;
    const added = await takeIn(wanted, { source: source.path, checksum: found }, work);
    keep = !added.ok && work.signal.aborted;
    return added;
  } finally {
    if (!keep) await source.remove();
  }
}

async function expectedChecksum(
  { from, checksum }: NewImage,
  { progress, signal }: Work,
): Promise<Checksum | (Added & { ok: false })> {
  if ('hex' in checksum) return checksum;
  const { list, algorithm } = checksum;
  progress.label(`asking ${list.host} for checksums`);
  try {
    const text = await getText(list, maxListBytes, { limits: usualLimits, signal });
    const file = 'url' in from ? decodeURIComponent(from.url.pathname.replace(/^.*\//, '')) : '';
    const found = findChecksum(text, algorithm, file);
    return (
      found ??
      failedWith(
        `${list.href} has no ${algorithm} of ${file}, or several`,
        `look there, and name it: --${algorithm}`,
      )
    );
  } catch (error) {
    if (signal.aborted || !(error instanceof Error)) throw error;
    return failedWith(`no list of checksums: ${error.message}`, 'look at the network, and try again');
  }
}

async function fetchSource(wanted: NewImage, work: Work): Promise<Source | (Added & { ok: false })> {
  const { name, from, most } = wanted;
  if ('file' in from) return copySource(wanted.name, from.file, work.stores.own);
  const cache = ownPlace(work.context.io.env, 'CACHE');
  if (typeof cache !== 'string') return { ok: false, faults: [cache] };
  const fault = prepareStore(`${cache}/downloads`);
  if (fault !== undefined) return { ok: false, faults: [fault] };
  const path = `${cache}/downloads/${createHash('sha256').update(from.url.href).digest('hex')}`;
  const got = await download(from.url, path, {
    signal: work.signal,
    most,
    onProgress: (done, total) =>
      work.progress.label(
        `fetching ${name} ${total === undefined ? '' : `${bar((100 * done) / total)} of ${formatBytes(total)}, `}${formatBytes(done)}`,
      ),
  });
  if (got.ok) return { path, remove: () => forgetDownload(path) };
  const kept = got.kept > 0 ? `${formatBytes(got.kept)} are kept: the same command goes on with them` : '';
  return failedWith(`image "${name}": ${got.message}`, [got.hint, kept].filter(Boolean).join('; '));
}

/** A copy of the caller's own: the file may be another's, who could change it between checksum and import. */
function copySource(name: string, file: string, store: string): Source | (Added & { ok: false }) {
  const path = `${store}/.${name}.${randomBytes(6).toString('hex')}.source`;
  const remove = (): void => rmSync(path, { force: true });
  try {
    copyFileSync(file, path, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    return { path, remove: async () => remove() };
  } catch (error) {
    remove();
    return failedWith(`${file} cannot be copied to ${path}: ${errnoText(error)}`);
  }
}

interface Checked {
  readonly source: string;
  readonly checksum: Checksum;
}

async function takeIn(wanted: NewImage, { source, checksum }: Checked, work: Work): Promise<Added> {
  const { name, from, format } = wanted;
  const { context, stores, signal, progress } = work;
  const disks = await context.client.disks();
  const target = { path: imagePath(stores.own, name), format: 'qcow2' as const };
  progress.label(`importing ${name}`);
  const reply = await disks.run(
    'diskImport',
    { source: { path: source, format }, target },
    {
      files: [{ path: source, access: 'ro' }],
      signal,
      onProgress: ({ percent }) => progress.label(`importing ${name} ${bar(percent ?? 0)}`),
    },
  );
  if (!reply.ok) return { ok: false, faults: reply.faults };
  const fault = writeRecord(stores.own, {
    name,
    source: 'url' in from ? from.url.href : from.file,
    algorithm: checksum.algorithm,
    checksum: checksum.hex,
    sourceFormat: format,
    addedAt: new Date(context.io.now()).toISOString(),
    user: wanted.user,
    memory: wanted.memory,
  });
  const image = fault === undefined ? findImage(stores, name) : undefined;
  if (image !== undefined) return { ok: true, image };
  rmSync(target.path, { force: true });
  if (fault === undefined) removeImage(stores.own, name);
  return { ok: false, faults: [fault ?? { message: `image "${name}" went away`, hint: '' }] };
}
