/** What one option, or device, of a command line becomes: the shape of a rule, and the simplest ones. */
import type { Leaf } from '../../plan/passthrough/option-values.ts';
import type { ForeignDraft, Piece } from '../foreign-draft.ts';
import type { Verdict } from '../verdict.ts';
import type { CommandLine } from './import-command-line.ts';

export interface OptionPlace {
  readonly line: CommandLine;
  readonly draft: ForeignDraft;
  readonly piece: Piece;
  /** The value as keys; the first without a key has the name that the option implies. */
  readonly leaves: readonly Leaf[];
  readonly value: string;
}
export type OptionRule = (place: OptionPlace) => Verdict;

export const always =
  (verdict: Verdict): OptionRule =>
  () =>
    verdict;
/** Takes the key as it is. */
export const put =
  (key: string, value: string | number | boolean): OptionRule =>
  ({ draft, piece }) =>
    draft.put(piece, key, value);
