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

export interface ChainChange<Result> {
  readonly name: string;
  readonly doing: string;
  readonly plain: (signal: AbortSignal) => Promise<Reply<Result>>;
  readonly owned: (files: OwnFiles, signal: AbortSignal) => Promise<Owned<Result>>;
  readonly done: (result: Result) => string;
}

export async function changeChain<Result>(
  context: Context,
  { name, doing, plain, owned, done: words }: ChainChange<Result>,
): Promise<CommandResult> {
  return await interruptible(async (signal) => {
    const { reply, notes } = await context.progressing(doing, (progress) => {
      const call = withClaims(
        context,
        () => plain(signal),
        (files) => owned(files, signal),
      );
      return withMemoryProgress(context, name, call, (text) => progress.label(doing + text));
    });
    const told = await withNearestName(context, name, reply);
    if (!told.ok) return failed(told.faults);
    const lines = [`${name}: ${words(told.result)}`, ...notes.map((note) => `${name} ${note}`)];
    return done(told.result, () => `${lines.map(escapeLine).join('\n')}\n`);
  }, 'interrupted: `qward chain` shows what the disk has');
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
