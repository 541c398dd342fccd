/** A rule between keys of a definition: what of a draft breaks it. */
import type { Draft } from './draft.ts';
import type { KeyPath } from './key-path.ts';

export interface Broken {
  /** The key to point at. */
  readonly path: KeyPath;
  /** What was found and what was expected; the key is put before it. */
  readonly message: string;
  readonly hint: string;
}

export type Rule = (draft: Draft) => readonly Broken[];

export function broken(path: KeyPath, message: string, hint: string): Broken {
  return { path, message, hint };
}
