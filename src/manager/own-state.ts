/** Files that no definition may name: qward's own. */
import type { Fault } from '../definition/fault.ts';
import { namedFiles, shownFiles, type PartsWithFiles } from '../definition/named-files.ts';
import type { OwnRule } from '../protocol/rules.ts';

/**
 * SECURITY: promise 4. The store of UEFI variables is opened for a machine because the manager made it, whoever owns the
 * machine: a definition that names another machine's as a disk is refused before anything is asked of the broker.
 */
export function ownStateFaults(
  parts: PartsWithFiles,
  own: readonly string[],
  /** What the manager made for this very machine. */
  made: readonly string[] = [],
): readonly Fault[] {
  return [...namedFiles(parts), ...shownFiles(parts)].flatMap(({ path, subject, place }) => {
    const directory = own.find((one) => path === one || path.startsWith(`${one}/`));
    if (directory === undefined || made.includes(path)) return [];
    return [
      {
        code: 'policy-refused',
        message: `${subject}: "${path}" lies in ${directory}, which is qward's own and no machine's`,
        hint: 'name a file beneath a storage root, or one of your own',
        path: place,
        rule: 'own-files' satisfies OwnRule,
      },
    ];
  });
}
