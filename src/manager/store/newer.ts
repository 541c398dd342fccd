/** State files of a newer qward: not used and not written over. The broker says the same of its own (broker/state.ts). */

/** How each such file is told of. */
export const wroteIt = 'a newer one wrote it';
export const newerCure = 'install that qward again, or remove the file, and start qward-manager again';

export interface NewerFile {
  readonly reason: string;
  readonly cure: string;
}

/** Undefined where `version`, as a file says it, is none that only a newer qward can have written. */
export function newerThan(version: unknown, known: number): NewerFile | undefined {
  if (typeof version !== 'number' || !Number.isSafeInteger(version) || version <= known) return undefined;
  const versions = known === 1 ? 'version 1' : `versions 1 to ${known}`;
  return {
    reason: `it is of version ${version}, and this qward knows ${versions}: ${wroteIt}`,
    cure: newerCure,
  };
}
