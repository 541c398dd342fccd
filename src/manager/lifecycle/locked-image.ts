/** Which image QEMU found locked, by its own words and the arguments that it got. */
import { firstDescriptor, type LaunchRequest } from '../../protocol/launch.ts';

/** QEMU 7.2 to 10. */
const lockWords = /Failed to get (?:shared )?"[a-z -]+" lock|Is another process using the image/;

/** Whether these words of QEMU's speak of a lock. */
export const isLock = (words: string): boolean => lockWords.test(words);

export interface LockedImage {
  /** Undefined where QEMU does not say which. */
  readonly path: string | undefined;
}

/** Undefined where QEMU does not speak of a lock. */
export function lockedImage(log: readonly string[], launch: LaunchRequest): LockedImage | undefined {
  if (!log.some((line) => isLock(line))) return undefined;
  const set = log.flatMap((line) => /\[\/dev\/fdset\/(\d+)\]/.exec(line)?.[1] ?? [])[0];
  const member = launch.argv
    .map((argument) => /^fd=(\d+),set=(\d+),/.exec(argument))
    .find((match) => set !== undefined && match?.[2] === set);
  const descriptor = launch.descriptors[Number(member?.[1]) - firstDescriptor];
  return { path: descriptor?.kind === 'file' ? descriptor.path : undefined };
}
