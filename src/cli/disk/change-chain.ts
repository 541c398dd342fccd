/** A long change of the images of a running machine, with the claims of its files, its progress, and what it says at the end. */
import type { Reply } from '../../api/client.ts';
import type { OwnFiles, Owned } from '../../api/own-files.ts';
import type { CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { interruptible } from '../interruptible.ts';
import { withMemoryProgress } from '../memory-progress.ts';
import { withClaims } from '../own-files.ts';
import { escapeLine } from '../render/escape.ts';
import { done, failed } from '../results.ts';
import { withNearestName } from '../select-machines.ts';
import { DiskUsage, sizeOf } from './disk-input.ts';
import type { MadeImage } from './make-image.ts';

export interface ChainChange<Result> {
  readonly name: string;
  readonly doing: string;
  /** A new image that it needs; it goes again where nothing came of it. */
  readonly image?: (signal: AbortSignal) => Promise<Reply<MadeImage>>;
  readonly plain: (signal: AbortSignal) => Promise<Reply<Result>>;
  readonly owned: (files: OwnFiles, signal: AbortSignal) => Promise<Owned<Result>>;
  readonly done: (result: Result) => string;
  /** Told where it is interrupted. */
  readonly interrupted?: string;
}

export const chainShows = 'interrupted: `qward chain` shows what the disk has';

export async function changeChain<Result>(
  context: Context,
  change: ChainChange<Result>,
): Promise<CommandResult> {
  const { name, doing } = change;
  return await interruptible(async (signal) => {
    const { reply, notes } = await context.progressing(doing, (progress) =>
      withImage(change, signal, () => {
        const call = withClaims(
          context,
          () => change.plain(signal),
          (files) => change.owned(files, signal),
        );
        return withMemoryProgress(context, name, call, (text) => progress.label(doing + text));
      }),
    );
    const told = await withNearestName(context, name, reply);
    if (!told.ok) return failed(told.faults);
    const lines = [`${name}: ${change.done(told.result)}`, ...notes.map((note) => `${name} ${note}`)];
    return done(told.result, () => `${lines.map(escapeLine).join('\n')}\n`);
  }, change.interrupted);
}

async function withImage<Result>(
  { image }: Pick<ChainChange<Result>, 'image'>,
  signal: AbortSignal,
  call: () => Promise<Owned<Result>>,
): Promise<Owned<Result>> {
  const made = await image?.(signal);
  if (made?.ok === false) return { reply: made, notes: [] };
  const undo = async (): Promise<void> => await made?.result.undo();
  const owned = await call().catch(async (error: unknown) => {
    // It may have been done: what the machine has now is its image.
    await undo();
    throw error;
  });
  if (!owned.reply.ok) await undo();
  return owned;
}

/** Bytes a second, or what is wrong with the text. */
export function speedOf(rate: string | undefined): number | string {
  try {
    return rate === undefined ? 0 : sizeOf(rate).bytes;
  } catch (error) {
    if (error instanceof DiskUsage) return error.message;
    throw error;
  }
}
