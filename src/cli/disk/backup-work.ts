/** A backup of a running machine, with the images that the user makes for it, and an image made of one. */
import type { CallResult } from '../../api/calls.ts';
import type { DiskClient } from '../../api/disk-client.ts';
import type { Reply } from '../../api/client.ts';
import type { CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { interruptible } from '../interruptible.ts';
import { withMemoryProgress } from '../memory-progress.ts';
import { withClaims } from '../own-files.ts';
import { escapeLine } from '../render/escape.ts';
import { done, failed } from '../results.ts';
import { withNearestName } from '../select-machines.ts';
import { makeImage, nameBelow, type MadeImage } from './make-image.ts';

export interface CreateOrder {
  readonly name: string;
  readonly directory: string;
  readonly disks: readonly string[];
  readonly incremental: boolean;
  readonly speed: number;
}

type Backup = CallResult<'backup'>;

/** `20261130T123456Z`. */
const stampOf = (now: Date): string => now.toISOString().replace(/[-:]|\.\d+/g, '');

export async function createBackup(context: Context, order: CreateOrder): Promise<CommandResult> {
  const { name } = order;
  return await interruptible(async (signal) => {
    const label = `backing up ${name}`;
    const reply = await context.progressing(label, (progress) =>
      create(context, { ...order, signal, tell: (text) => progress.label(label + text) }),
    );
    const told = await withNearestName(context, name, reply);
    if (!told.ok) return failed(told.faults);
    const { disks, frozen } = told.result;
    const how = frozen ? 'its file systems were frozen' : 'as a power cut would leave it';
    const lines = [
      `${name}: backed up, ${how}`,
      ...disks.map(
        ({ disk, path, onto }) => `${disk}: ${path}${onto.length === 0 ? '' : `, on ${onto[0] ?? ''}`}`,
      ),
    ];
    return done(told.result, () => `${lines.map(escapeLine).join('\n')}\n`);
  });
}

interface Creating extends CreateOrder {
  readonly signal: AbortSignal;
  readonly tell: (text: string) => void;
}

async function create(context: Context, order: Creating): Promise<Reply<Backup>> {
  const { name, directory, incremental, speed, signal, tell } = order;
  const chosen = await chooseDisks(context, order);
  if (!chosen.ok) return chosen;
  const stamp = stampOf(new Date(context.io.now()));
  const disks = chosen.result.map((disk) => ({
    disk,
    path: `${directory}/${name}-${disk}-${stamp}-${incremental ? 'incremental' : 'whole'}.qcow2`,
  }));
  const made: MadeImage[] = [];
  const undo = async (): Promise<void> => {
    for (const one of made) await one.undo();
  };
  try {
    for (const { disk, path } of disks) {
      const image = await makeImage(context, { name, disk, path, format: 'qcow2' }, signal);
      if (!image.ok) {
        await undo();
        return image;
      }
      made.push(image.result);
    }
    const input = { name, disks, incremental, speed };
    const call = withClaims(
      context,
      () => context.client.call('backup', input, { signal }),
      (files) => files.backup(input, signal),
    );
    const { reply } = await withMemoryProgress(context, name, call, tell);
    if (!reply.ok) await undo();
    return reply.ok ? await finish(await context.client.disks(), { name, disks, reply }, signal) : reply;
  } catch (error) {
    await undo();
    throw error;
  }
}

/** Those that are written, where none is named. */
async function chooseDisks(
  context: Context,
  { name, disks }: CreateOrder,
): Promise<Reply<readonly string[]>> {
  if (disks.length > 0) return { ok: true, result: disks };
  const devices = await context.client.call('devices', { name });
  if (!devices.ok) return devices;
  const written = devices.result.disks.filter(({ files }) => files.some(({ access }) => access === 'rw'));
  if (written.length > 0) return { ok: true, result: written.map(({ id }) => id) };
  const message = `machine "${name}" has no disk that is written`;
  return {
    ok: false,
    status: 0,
    faults: [{ code: 'request-invalid', message, hint: '`qward chain` shows its disks' }],
  };
}

/** The header of each names what it stands on, and its own tables agree. */
async function finish(
  client: DiskClient,
  {
    name,
    disks,
    reply,
  }: {
    readonly name: string;
    /** The images that the user made for it. */
    readonly disks: readonly { readonly disk: string; readonly path: string }[];
    readonly reply: Extract<Reply<Backup>, { readonly ok: true }>;
  },
  signal: AbortSignal,
): Promise<Reply<Backup>> {
  for (const { disk, path } of disks) {
    const onto = reply.result.disks.find((one) => one.disk === disk)?.onto ?? [];
    if (onto.length > 0) {
      const known = (below: string): boolean => isBackup(name, disk, below);
      const named = await nameBelow(client, { path, onto: onto.map(layer), known }, signal);
      if (!named.ok) return named;
    }
    const checked = await client.run('diskCheck', { path }, { files: [{ path, access: 'ro' }], signal });
    if (!checked.ok) return checked;
    if (checked.result.ok) continue;
    const message = `"${path}" is damaged: ${checked.result.errors} errors`;
    return { ok: false, status: 0, faults: [{ code: 'disk-failed', message, hint: 'back it up anew' }] };
  }
  return reply;
}

/** SECURITY: promise 4. By the name that `createBackup` gives: of what the manager says, nothing else is claimed. */
function isBackup(name: string, disk: string, path: string): boolean {
  const file = path.slice(path.lastIndexOf('/') + 1);
  const start = `${name}-${disk}-`;
  return (
    file.startsWith(start) && /^\d{8}T\d{6}Z-(?:whole|incremental)\.qcow2$/.test(file.slice(start.length))
  );
}

const layer = (path: string) => ({ path, format: 'qcow2' as const });

export interface RestoreOrder {
  readonly name: string;
  readonly file: string;
  readonly target: string;
}

export async function restoreBackup(context: Context, order: RestoreOrder): Promise<CommandResult> {
  const { name, file, target } = order;
  return await interruptible(async (signal) => {
    const reply = await context.progressing(`restoring ${file}`, (progress) =>
      restore(context, { ...order, signal, tell: (text) => progress.label(text) }),
    );
    const told = await withNearestName(context, name, reply);
    if (!told.ok) return failed(told.faults);
    return done(
      told.result,
      () =>
        `${escapeLine(target)} is disk ${escapeLine(told.result.disk)} of ${escapeLine(name)} as of ${told.result.at}\n`,
    );
  });
}

async function restore(
  context: Context,
  {
    name,
    file,
    target,
    signal,
    tell,
  }: RestoreOrder & { readonly signal: AbortSignal; readonly tell: (text: string) => void },
): Promise<Reply<{ readonly disk: string; readonly at: string; readonly path: string }>> {
  const listed = await context.client.call('backups', { name });
  if (!listed.ok) return listed;
  const found = listed.result.backups
    .flatMap(({ at, disks }) => disks.map((disk) => ({ ...disk, at })))
    .find(({ path }) => path === file);
  if (found === undefined) {
    const message = `"${file}" is no backup of machine "${name}" that is known here`;
    return {
      ok: false,
      status: 0,
      faults: [{ code: 'request-invalid', message, hint: `\`qward backup list ${name}\` shows which are` }],
    };
  }
  const client = await context.client.disks();
  const { disk, at, onto } = found;
  const format = /\.(?:raw|img)$/.test(target) ? ('raw' as const) : ('qcow2' as const);
  const image = { ...layer(file), backing: onto.map(layer) };
  const known = [file, ...onto.filter((path) => isBackup(name, disk, path))];
  const files = known.map((path) => ({ path, access: 'ro' as const }));
  const made = await client.run(
    'diskConvert',
    { image, target: { path: target, format }, compress: false },
    {
      files,
      signal,
      onProgress: ({ doing, percent }) =>
        tell(percent === null ? doing : `${doing} ${Math.floor(percent)} %`),
    },
  );
  return made.ok ? { ok: true, result: { disk, at, path: target } } : made;
}
