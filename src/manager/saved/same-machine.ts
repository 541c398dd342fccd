/** Whether a saved state still fits: the machine as it would be started now, and its files. Pure. */
import type { FileMark, FileMarks } from '../planner.ts';
import type { StateNote } from './state-note.ts';

/** Options whose value is of the moment, not of the machine. */
const momentary = new Set(['-rtc']);

const withoutMoment = (argv: readonly string[]): readonly string[] =>
  argv.filter((word, index) => !momentary.has(word) && !momentary.has(argv[index - 1] ?? ''));

/** Where two command lines part, in words; undefined: they are of the same machine. */
export function argumentsDiffer(saved: readonly string[], now: readonly string[]): string | undefined {
  const [before, after] = [withoutMoment(saved), withoutMoment(now)];
  const length = Math.max(before.length, after.length);
  for (let index = 0; index < length; index += 1) {
    if (before[index] === after[index]) continue;
    const option = before[index - 1]?.startsWith('-') === true ? `${before[index - 1]} ` : '';
    const shown = (word: string | undefined): string => (word === undefined ? 'nothing' : `${option}${word}`);
    return `${shown(before[index])} became ${shown(after[index])}`;
  }
  return undefined;
}

/**
 * SECURITY: promise 7. A disk that was written to since is another: memory that goes on with it would destroy what is on it.
 * Gives a sentence for each file that is not what it was.
 */
export function changedFiles(saved: FileMarks, now: FileMarks): readonly string[] {
  return Object.entries(saved).flatMap(([path, before]) => {
    const after = now[path];
    const why =
      after === undefined ? 'is not there, or no longer part of the machine' : differs(before, after);
    return why === undefined ? [] : [`${path} ${why}`];
  });
}

function differs(before: FileMark, after: FileMark): string | undefined {
  if (before.size !== after.size) return `has ${after.size} bytes instead of ${before.size}`;
  if (before.modifiedMs === after.modifiedMs) return undefined;
  const at =
    after.modifiedMs === null ? 'at a time not known' : `at ${new Date(after.modifiedMs).toISOString()}`;
  return `was written to ${at}`;
}

/** QEMU takes in the state of another version of the same series only as far as its developers tried. */
export function versionsDiffer(
  { qemu }: Pick<StateNote, 'qemu'>,
  now: StateNote['qemu'],
): string | undefined {
  if (qemu.major === now.major && qemu.minor === now.minor) return undefined;
  return `it was saved by QEMU ${qemu.major}.${qemu.minor}, and this is QEMU ${now.major}.${now.minor}`;
}
