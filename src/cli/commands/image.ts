import { resolve } from 'node:path';
import { parseByteSize } from '../../definition/byte-size.ts';
import { defineCommand, type CommandFault, type CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { DiskUsage, formatOf, sourceFormats } from '../disk/disk-input.ts';
import { addImage, faultsBeforeAdding, type NewImage } from '../images/add-image.ts';
import { readCatalogue, type CatalogueImage } from '../images/catalogue.ts';
import { parseChecksum } from '../images/checksum.ts';
import { imageName, imageNameExpected, loginName } from '../images/image-name.ts';
import { findImage, listImages, removeImage, storesOf, type Stores } from '../images/image-store.ts';
import { parseImageUrl } from '../images/image-url.ts';
import { interruptible } from '../interruptible.ts';
import { renderCatalogue, renderImages, renderStored } from '../render/image.ts';
import { done, failed, onlyHere, usage } from '../results.ts';

const actionNames = ['add', 'list', 'show', 'rm', 'catalogue'];

export const image = defineCommand({
  name: 'image',
  summary: 'Images to start machines from: fetched, checked, and kept.',
  details:
    'image catalogue\n' +
    'image add NAME [URL|FILE --sha256 HEX|--sha512 HEX]\n' +
    'image list\n' +
    'image show NAME\n' +
    'image rm NAME\n' +
    '\n' +
    'A name of the catalogue alone is enough. What is fetched is fetched by this command, with your rights, gone on with where it breaks ' +
    'off, and taken only if it has the checksum; then qemu-img imports it in a jail of its own. Images lie in your home ' +
    '(~/.local/share/qward/images), those of root beneath a storage root.',
  arguments: {
    ACTION: { help: `One of ${actionNames.join(', ')}.`, complete: actionNames },
    NAME: { help: 'Name of the image.', complete: 'none', optional: true },
    SOURCE: {
      help: 'add: where it is, an http or https URL or a file; none: where the catalogue says.',
      complete: 'file',
      optional: true,
    },
  },
  options: {
    sha256: { kind: 'text', value: 'HEX', complete: 'none', help: 'add: the checksum of SOURCE.' },
    sha512: { kind: 'text', value: 'HEX', complete: 'none', help: 'add: the same with SHA-512.' },
    format: {
      kind: 'text',
      short: 'f',
      value: 'FORMAT',
      complete: sourceFormats,
      help: 'add: format of SOURCE, where its name does not tell.',
    },
    user: { kind: 'text', short: 'u', value: 'USER', complete: 'none', help: 'add: whom to log in as.' },
    limit: {
      kind: 'text',
      value: 'SIZE',
      complete: 'none',
      help: 'add: no more than this is fetched; default: 16GiB.',
    },
    catalogue: {
      kind: 'text',
      value: 'FILE',
      complete: 'file',
      help: 'Another catalogue than that of qward.',
    },
  },
  examples: [
    { line: 'qward image add debian-12', meaning: 'from the catalogue' },
    {
      line: 'qward image add mine https://example.org/mine.qcow2 --sha256 e3b0c442…',
      meaning: 'from anywhere, with its checksum',
    },
    { line: 'qward image list', meaning: 'what there is to start from' },
  ],
  async run(context, { arguments: { ACTION: action, NAME: name, SOURCE: source }, options }) {
    const elsewhere = onlyHere(context, `qward image ${action}`);
    if (elsewhere !== undefined) return elsewhere;
    const { catalogue, ...ofAdd } = options;
    const fault = usageFault(action, { name, source }, ofAdd);
    if (fault !== undefined) return usage(fault);
    const known = readCatalogue(catalogue);
    if ('faults' in known) return failed(known.faults, 2);
    if (action === 'catalogue') return done(known, (style) => renderCatalogue(known, style));
    const stores = await storesOf(context);
    if ('faults' in stores) return failed(stores.faults);
    if (action === 'list') {
      const images = listImages(stores);
      return done(images, (style) =>
        context.quiet ? images.map(({ name: one }) => `${one}\n`).join('') : renderImages(images, style),
      );
    }
    if (name === undefined) return usage(`image ${action}: NAME is missing`);
    if (action === 'show') return show(stores, name);
    if (action === 'rm') return remove(context, stores, name);
    return await add(context, {
      stores,
      known,
      name,
      ...(source === undefined ? {} : { source }),
      options: ofAdd,
    });
  },
});

interface AddOptions {
  readonly sha256: string | undefined;
  readonly sha512: string | undefined;
  readonly format: string | undefined;
  readonly user: string | undefined;
  readonly limit: string | undefined;
}

function usageFault(
  action: string,
  words: { readonly name: string | undefined; readonly source: string | undefined },
  ofAdd: AddOptions,
): string | undefined {
  if (!actionNames.includes(action))
    return `image: "${action}" is not an action; ${actionNames.join(', ')} expected`;
  const takesName = action !== 'list' && action !== 'catalogue';
  if (words.name !== undefined && !takesName) return `image ${action} takes no NAME`;
  if (action === 'add') return undefined;
  if (words.source !== undefined) return `image ${action} takes no SOURCE`;
  const stray = Object.entries(ofAdd).find(([, value]) => value !== undefined)?.[0];
  return stray === undefined ? undefined : `image ${action} takes no --${stray}`;
}

const unknownImage = (name: string): CommandResult =>
  failed([{ message: `there is no image "${name}"`, hint: 'see which there are: qward image list' }], 3);

function show(stores: Stores, name: string): CommandResult {
  const found = findImage(stores, name);
  return found === undefined ? unknownImage(name) : done(found, (style) => renderStored(found, style));
}

function remove(context: Context, { own, shared }: Stores, name: string): CommandResult {
  if (!imageName.test(name)) return unknownImage(name);
  const { removed, faults } = removeImage(own, name);
  if (faults.length > 0) return failed(faults);
  if (removed.length > 0)
    return done({ name, removed }, (style) => (context.quiet ? '' : `${style.bold(name)}: removed\n`));
  if (findImage({ own, shared }, name) === undefined) return unknownImage(name);
  return failed([{ message: `image "${name}" is the host's`, hint: 'root removes it' }], 4);
}

interface AddOrder {
  readonly stores: Stores;
  readonly known: readonly CatalogueImage[];
  readonly name: string;
  readonly source?: string;
  readonly options: AddOptions;
}

const defaultLimit = '16GiB';

async function add(context: Context, order: AddOrder): Promise<CommandResult> {
  const wanted = order.source === undefined ? fromCatalogue(order) : fromSource(order, order.source);
  if (Array.isArray(wanted)) return failed(wanted, 2);
  const uid = await context.client.reach.uid();
  const faults = await faultsBeforeAdding(wanted, order.stores, uid);
  if (faults.length > 0) return failed(faults);
  return await interruptible(async (signal) => {
    const added = await context.progressing(`image ${wanted.name}`, (progress) =>
      addImage(wanted, { context, stores: order.stores, signal, progress }),
    );
    if (!added.ok) return failed(added.faults, signal.aborted ? 130 : undefined);
    return done(added.image, (style) => (context.quiet ? '' : renderStored(added.image, style)));
  });
}

/** What the catalogue says of the name, or every fault. */
export function fromCatalogue({
  known,
  name,
  options,
}: Omit<AddOrder, 'stores' | 'source'>): NewImage | CommandFault[] {
  const found = known.find((one) => one.name === name);
  const faults = strayFaults(options);
  if (found === undefined)
    faults.push({
      message: `"${name}" is not in the catalogue (${known.map((one) => one.name).join(', ')})`,
      hint: `name its source: qward image add ${name} URL --sha256 HEX`,
    });
  userFault(options.user, faults);
  const most = limitOf(options.limit, faults);
  if (found === undefined || faults.length > 0) return faults;
  const { url, checksums, algorithm, format, user, memory } = found;
  return {
    name,
    from: { url: new URL(url) },
    checksum: { list: new URL(checksums), algorithm },
    format,
    user: options.user ?? user,
    memory,
    most,
  };
}

function strayFaults({ sha256, sha512, format }: AddOptions): CommandFault[] {
  return Object.entries({ sha256, sha512, format })
    .filter(([, value]) => value !== undefined)
    .map(([key]) => ({ message: `image add: --${key} is for a SOURCE: the catalogue says it`, hint: '' }));
}

function userFault(user: string | undefined, faults: CommandFault[]): void {
  if (user !== undefined && !loginName.test(user))
    faults.push({ message: `--user: a name to log in with expected, not "${user}"`, hint: '' });
}

function limitOf(text: string | undefined, faults: CommandFault[]): number {
  const bytes = parseByteSize(text ?? defaultLimit);
  if (bytes === undefined)
    faults.push({ message: `--limit: a size such as 4GiB is expected, not "${text ?? ''}"`, hint: '' });
  return bytes ?? 0;
}

function fromSource({ name, options }: AddOrder, source: string): NewImage | CommandFault[] {
  const faults: CommandFault[] = [];
  const wrong = (message: string, hint = ''): undefined => void faults.push({ message, hint });
  if (!imageName.test(name)) wrong(`"${name}" is not a name for an image: ${imageNameExpected}`);
  const url = /^[a-z][a-z0-9+.-]*:\/\//i.test(source) ? parseImageUrl(source) : undefined;
  if (typeof url === 'string') wrong(url);
  const { sha256, sha512, user = null } = options;
  const given = sha256 === undefined ? sha512 : sha256;
  if (given === undefined || (sha256 !== undefined && sha512 !== undefined))
    wrong('image add: one checksum is needed', 'name it: --sha256 HEX, or --sha512 HEX');
  const checksum = parseChecksum(sha256 === undefined ? 'sha512' : 'sha256', given ?? '');
  if (typeof checksum === 'string' && given !== undefined) wrong(checksum);
  if (user !== null && !loginName.test(user)) wrong(`--user: a name to log in with expected, not "${user}"`);
  const most = limitOf(options.limit, faults);
  try {
    const path = url instanceof URL ? url.pathname : source;
    const format = formatOf(path, options.format, sourceFormats);
    if (faults.length > 0 || typeof checksum === 'string' || typeof url === 'string') return faults;
    const from = url === undefined ? { file: resolve(source) } : { url };
    return { name, from, checksum, format, user, memory: null, most };
  } catch (error) {
    if (!(error instanceof DiskUsage)) throw error;
    wrong(error.message);
    return faults;
  }
}
