/** Rights on a machine as users write them. */
import type { CallInput } from '../api/calls.ts';

type GrantableRight = CallInput<'grant'>['rights'][number];

const rightOfWord: Readonly<Record<string, GrantableRight>> = {
  see: 'see',
  operate: 'operate',
  start: 'operate',
  stop: 'operate',
  console: 'console',
  guest: 'guest',
  monitor: 'monitor',
};
export const rightWords: readonly string[] = Object.keys(rightOfWord);

export type ParsedRights =
  | { readonly ok: true; readonly rights: readonly GrantableRight[] }
  | { readonly ok: false; readonly message: string; readonly hint: string };

/** Of `start,console`. */
export function parseRights(text: string): ParsedRights {
  const rights = new Set<GrantableRight>();
  for (const word of text.split(',')) {
    const right = Object.hasOwn(rightOfWord, word) ? rightOfWord[word] : undefined;
    if (right === undefined)
      return {
        ok: false,
        message: `"${word}" is no right that can be granted`,
        hint: `${rightWords.join(', ')}; with commas between`,
      };
    rights.add(right);
  }
  return { ok: true, rights: [...rights] };
}
