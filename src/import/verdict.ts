/** What becomes of one piece of a foreign document. Each piece has exactly one of these. */
export type Verdict =
  | { readonly is: 'imported'; readonly whole?: true }
  | { readonly is: 'changed' | 'unsupported'; readonly note: string; readonly whole?: true };

/** The definition says the same. */
export const imported: Verdict = { is: 'imported' };
/** The definition says nearly the same; the note says what is different. */
export const changed = (note: string): Verdict => ({ is: 'changed', note });
/** Left out; the note says why, and what to do instead where there is something. */
export const unsupported = (note: string): Verdict => ({ is: 'unsupported', note });
/** The same for everything beneath as well. */
export const whole = (verdict: Verdict): Verdict => ({ ...verdict, whole: true });
