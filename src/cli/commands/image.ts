import { defineCommand, type CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { sourceFormats } from '../disk/disk-input.ts';
import { addImage, faultsBeforeAdding } from '../images/add-image.ts';
import { readCatalogue, type CatalogueImage } from '../images/catalogue.ts';
import { imageName } from '../images/image-name.ts';
import { imageFromCatalogue, imageFromSource, type AddOptions } from '../images/image-of-words.ts';
import { findImage, listImages, removeImage, storesOf, type Stores } from '../images/image-store.ts';
import { interruptible } from '../interruptible.ts';
import { renderCatalogue, renderImages, renderStored } from '../render/image.ts';
import { done, failed, usage } from '../results.ts';

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

async function add(context: Context, order: AddOrder): Promise<CommandResult> {
  const { name, known, source, options } = order;
  const wanted =
    source === undefined ? imageFromCatalogue(name, known, options) : imageFromSource(name, source, options);
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
