/** A new image of the size of a machine's disk, made by the user, for the machine to be given. */
import type { DiskClient } from '../../api/disk-client.ts';
import type { Reply } from '../../api/client.ts';
import { settledChain } from '../../api/settled-chain.ts';
import type { Context } from '../context.ts';

interface Image {
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
}

export interface NewImage {
  readonly name: string;
  readonly disk: string;
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
}

export interface MadeImage {
  /** Takes it away again, unless the machine has it. */
  readonly undo: () => Promise<void>;
}

export async function makeImage(
  context: Context,
  { name, disk, path, format }: NewImage,
  signal: AbortSignal,
): Promise<Reply<MadeImage>> {
  const chain = await context.client.call('chain', { name });
  if (!chain.ok) return chain;
  const { busy } = chain.result;
  if (busy !== null) {
    const message = `disk "${busy.disk}" of machine "${name}" is under way already (${busy.doing})`;
    return {
      ok: false,
      status: 0,
      faults: [{ code: 'machine-busy', message, hint: 'wait until it has ended' }],
    };
  }
  const found = chain.result.disks.find((one) => one.disk === disk);
  if (found?.size === undefined || found.size === null) {
    const ids = chain.result.disks.map((one) => one.disk).join(', ');
    const [code, message, hint] = chain.result.running
      ? (['request-invalid', `machine "${name}" has no disk "${disk}"`, `it has: ${ids || 'none'}`] as const)
      : ([
          'machine-not-running',
          `machine "${name}" does not run`,
          `start it: \`qward start ${name}\`; \`qward disk\` works on images that no machine uses`,
        ] as const);
    return { ok: false, status: 0, faults: [{ code, message, hint }] };
  }
  const disks = await context.client.disks();
  const input = { target: { path, format }, size: found.size, backing: [], preallocation: 'off' as const };
  const made = await disks.run('diskCreate', input, { files: [], signal });
  if (!made.ok) return made;
  return { ok: true, result: { undo: () => undo(context, name, path) } };
}

/**
 * Writes into the header of an image what it stands on; nothing of that is read.
 * SECURITY: promise 4. The manager says what that is: it is claimed only where it is one of `known`, which the user has named before.
 */
export async function nameBelow(
  client: DiskClient,
  {
    path,
    onto,
    known,
  }: { readonly path: string; readonly onto: readonly Image[]; readonly known: (path: string) => boolean },
  signal: AbortSignal,
): Promise<Reply<unknown>> {
  // The nearest alone gets into the header.
  const below = onto.slice(0, 1).map((one) => ({ path: one.path, format: one.format }));
  const image = { path, format: 'qcow2' as const, backing: [] };
  const files = [
    { path, access: 'rw' as const },
    ...below.flatMap((one) => (known(one.path) ? [{ path: one.path, access: 'ro' as const }] : [])),
  ];
  return await client.run('diskRebase', { image, onto: below, metadataOnly: true }, { files, signal });
}

async function undo(context: Context, name: string, path: string): Promise<void> {
  const now = await settledChain(context.client, name, ({ files }) => files.includes(path));
  // SECURITY: promise 7. What the machine has, or may have, is never taken away.
  if (now?.ok !== true || now.result.disks.some(({ images }) => images.some((image) => image.path === path)))
    return;
  const definition = await context.client.call('definition', { name }).catch(() => undefined);
  if (definition?.ok !== true || definition.result.source.includes(path)) return;
  // Nor what counts as a backup by now.
  const backups = await context.client.call('backups', { name }).catch(() => undefined);
  if (backups?.ok !== true) return;
  if (backups.result.backups.some(({ disks }) => disks.some((one) => one.path === path))) return;
  await context.client.reach.targets.discard?.(path);
}
