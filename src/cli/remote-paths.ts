/** Paths that the user types for files of the host that is worked on: of another host there is no working directory. */
import { isAbsolute, resolve } from 'node:path';
import type { Context } from './context.ts';

type Place = Pick<Context, 'remote'>;

/** What is wrong with them, where they are another host's. */
export function relativePath({ remote }: Place, paths: readonly string[]): string | undefined {
  const relative = remote === undefined ? undefined : paths.find((path) => !isAbsolute(path));
  return relative === undefined
    ? undefined
    : `"${relative}" is relative: a path of ${remote ?? ''} is to be absolute, since there is no working directory there`;
}

export const pathsThere = ({ remote }: Place, paths: readonly string[]): readonly string[] =>
  remote === undefined ? paths.map((path) => resolve(path)) : paths;
