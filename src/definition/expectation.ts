/** What a schema expects, in words that go behind "expected". A schema's own `error` text comes before these. */
import type { z } from 'zod';

const kinds: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a group of keys',
  record: 'a group of keys',
};

const things: Readonly<Record<string, string>> = { string: ' characters', array: ' items' };

/** `a, b or c`. */
export function anyOf(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

export const expectation: z.core.$ZodErrorMap = (issue) => {
  const choices = choicesOf(issue);
  if (choices.length > 0) return anyOf(choices);
  if (issue.code === 'invalid_type') return kinds[issue.expected] ?? issue.expected;
  if (issue.code === 'too_small') return `at least ${issue.minimum}${things[issue.origin] ?? ''}`;
  if (issue.code === 'too_big') return `at most ${issue.maximum}${things[issue.origin] ?? ''}`;
  return undefined;
};

/** The values that a key can have, where they can be listed: of an enumeration, or the kinds of a choice of shapes. */
export function choicesOf(issue: object): readonly string[] {
  if ('values' in issue && Array.isArray(issue.values)) return issue.values.map(String);
  // A choice that may be left out is undefined among them.
  const options = 'options' in issue && Array.isArray(issue.options) ? issue.options : [];
  return options.filter((option: unknown) => option !== undefined).map(String);
}
