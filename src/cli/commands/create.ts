import { defineCommand, type CommandResult } from '../command.ts';
import { faultsOfCreation, makeMachine, type Created, type Creation } from '../create/make-machine.ts';
import { logIn, showScreen } from '../create/enter-machine.ts';
import { checkWish, type Wish } from '../create/wishes.ts';
import { addImage, faultsBeforeAdding } from '../images/add-image.ts';
import { readCatalogue, type CatalogueImage } from '../images/catalogue.ts';
import { imageOfCatalogue } from '../images/image-of-words.ts';
import { findImage, storesOf, type StoredImage } from '../images/image-store.ts';
import { interruptible } from '../interruptible.ts';
import { escapeLine, escapeLines } from '../render/escape.ts';
import type { Style } from '../render/style.ts';
import { done, failed, usage } from '../results.ts';
import { hasDisplay } from '../vnc/run-viewer.ts';

export const create = defineCommand({
  name: 'create',
  summary: 'Make and start a machine, from an image or an installer’s disc.',
  details:
    'From an image (`qward image`; one of the catalogue is fetched first) it makes a disk, and a seed by which cloud-init lets your key in ' +
    'and gives the guest a host key that `qward ssh` knows; then the definition, which is yours to edit. With --iso it makes an empty ' +
    'disk and a machine with a screen, and on a desktop opens your viewer. The machine is started. Every fault is said before anything is made; where something fails on the way, all of it is taken back.',
  arguments: { NAME: { help: 'Name of the new machine.', complete: 'none' } },
  options: {
    image: {
      kind: 'text',
      short: 'i',
      value: 'NAME',
      complete: 'none',
      help: 'The image that it starts from.',
    },
    iso: { kind: 'text', value: 'FILE', complete: 'file', help: 'The disc of an installer.' },
    cpus: { kind: 'number', short: 'c', value: 'COUNT', help: 'Virtual CPUs; default: 1, with --iso 2.' },
    memory: {
      kind: 'text',
      short: 'm',
      value: 'SIZE',
      complete: 'none',
      help: 'Memory; default: what the image needs, with --iso 4GiB.',
    },
    disk: {
      kind: 'text',
      short: 'd',
      value: 'SIZE',
      complete: 'none',
      help: 'Size of the disk; default: that of the image.',
    },
    sshKey: {
      kind: 'texts',
      short: 'k',
      value: 'FILE',
      complete: 'file',
      help: 'Public keys that may log in; default: the one in ~/.ssh, else one that is made for this machine.',
    },
    user: {
      kind: 'text',
      short: 'u',
      value: 'USER',
      complete: 'none',
      help: 'Whom the keys are for; default: the user that the image has.',
    },
    network: {
      kind: 'text',
      short: 'n',
      value: 'KIND',
      complete: 'none',
      help: '"user" with a port of loopback for ssh (the default), "none", or "bridge:NAME".',
    },
    uefi: { kind: 'flag', help: 'Boot by UEFI.' },
    runner: {
      kind: 'flag',
      help: 'Without a card, and with what `qward run --from` needs in copies of the machine once it is saved.',
    },
    login: { kind: 'flag', short: 'l', help: 'Log in as soon as the guest is up, as `qward ssh` does.' },
    noStart: { kind: 'flag', help: 'Make it, and do not start it.' },
    noViewer: { kind: 'flag', help: 'Open no viewer.' },
    dryRun: { kind: 'flag', help: 'Check everything, and print the definition.' },
    catalogue: {
      kind: 'text',
      value: 'FILE',
      complete: 'file',
      help: 'Another catalogue than that of qward.',
    },
  },
  examples: [
    { line: 'qward create web --image debian-12 --login', meaning: 'from nothing to a prompt in the guest' },
    {
      line: 'qward create web --image debian-12 --cpus 2 --memory 2G --disk 20G --ssh-key ~/.ssh/id_ed25519.pub',
      meaning: 'with all that can be said',
    },
    {
      line: 'qward create win --iso win.iso --disk 40G --uefi',
      meaning: 'a desktop, in a window of yours',
    },
  ],
  async run(context, { arguments: { NAME: name }, options }) {
    const { login, noStart, noViewer, dryRun, catalogue, ...rest } = options;
    const wish = checkWish(name, rest, context.io.env['HOME']);
    if ('faults' in wish) return failed(wish.faults, 2);
    const loginFault = faultOfLogin(wish, options);
    if (login && loginFault !== undefined) return usage(`create: --login ${loginFault}`);
    const start = !noStart;
    const stores = await storesOf(context);
    if ('faults' in stores) return failed(stores.faults);
    const made = await interruptible((signal) =>
      context.progressing(`creating ${name}`, async (progress) => {
        const creation = { context, stores, signal, progress, wish, start, dryRun };
        const image = await imageFor(creation, catalogue);
        if (image !== undefined && 'ok' in image) return image;
        const outcome = await makeMachine(image === undefined ? creation : { ...creation, image });
        if (!outcome.ok) return failed(outcome.faults, signal.aborted ? 130 : undefined);
        const { created } = outcome;
        if (dryRun) return done(created, () => escapeLines(created.source));
        return done(created, (style) => (context.quiet ? '' : shown(created, style)));
      }),
    );
    if (!made.ok || dryRun || noStart || context.json) return made;
    if (login) return await logIn(context, made, name);
    if ('image' in wish || noViewer || !hasDisplay(context.io.env)) return made;
    return await showScreen(context, made, name);
  },
});

/** What it does not go with. */
function faultOfLogin(
  wish: Wish,
  { noStart, dryRun }: { readonly noStart: boolean; readonly dryRun: boolean },
): string | undefined {
  if (!('image' in wish)) return 'is for an image: an installer has nobody to log in as';
  if (noStart || dryRun) return 'needs a machine that is started';
  return wish.network === 'none' ? 'needs a network' : undefined;
}

/** The image of the wish; one of the catalogue's is fetched, when nothing else is wrong. */
async function imageFor(
  creation: Creation,
  catalogue: string | undefined,
): Promise<StoredImage | CommandResult | undefined> {
  const { wish, context, stores, signal } = creation;
  if (!('image' in wish)) return undefined;
  const found = findImage(stores, wish.image);
  if (found !== undefined) return found;
  const known = readCatalogue(catalogue);
  if ('faults' in known) return failed(known.faults, 2);
  const listed = known.find(({ name }) => name === wish.image);
  if (listed === undefined) return unknownImage(wish.image, known);
  const wanted = imageOfCatalogue(listed);
  const faults = [
    ...(await faultsBeforeAdding(wanted, stores, await context.client.reach.uid())),
    ...(await faultsOfCreation({ ...creation, image: listed })),
  ];
  if (creation.dryRun)
    faults.push({
      message: `image "${listed.name}" is not here yet`,
      hint: `fetch it: qward image add ${listed.name}`,
    });
  if (faults.length > 0) return failed(faults);
  const added = await addImage(wanted, creation);
  return added.ok ? added.image : failed(added.faults, signal.aborted ? 130 : undefined);
}

function unknownImage(image: string, known: readonly CatalogueImage[]): CommandResult {
  const names = known.map(({ name }) => name).join(', ');
  const message = `there is no image "${image}", neither here nor in the catalogue (${names})`;
  return failed([{ message, hint: `add it: qward image add ${image} URL --sha256 HEX` }], 3);
}

function shown({ name, files, notes, started, user }: Created, style: Style): string {
  const next = user === null ? `qward vnc ${name}` : `qward ssh ${name}`;
  return [
    `${style.bold(escapeLine(name))}: created${started ? ' and started' : ''}`,
    ...files.map((path) => `  made ${escapeLine(path)}`),
    ...notes.map((note) => `  ${escapeLine(note)}`),
    style.dim(`  next: ${started ? '' : `qward start ${name}, then `}${next}`),
    '',
  ].join('\n');
}
