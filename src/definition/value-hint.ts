/** The cure for a value of the wrong form, where one can be named. */
import type { z } from 'zod';
import { choicesOf } from './expectation.ts';
import type { Plain } from './key-path.ts';
import { parseByteSize } from './byte-size.ts';
import { parseDuration } from './scalars.ts';
import { nearest } from './suggest.ts';

const yes = new Set(['true', 'yes', 'on', 'y', 'enabled', '1']);
const no = new Set(['false', 'no', 'off', 'n', 'disabled', '0']);

function booleanHint(found: Plain | undefined): string | undefined {
  const word = typeof found === 'string' ? found.toLowerCase() : String(Number(found));
  if (yes.has(word)) return 'Write true, without quotes: in YAML 1.2 yes and on are text.';
  if (no.has(word)) return 'Write false, without quotes: in YAML 1.2 no and off are text.';
  return undefined;
}

function sizeHint(found: Plain | undefined): string | undefined {
  if (typeof found === 'number' || (typeof found === 'string' && /^\d+$/.test(found)))
    return `A number without a unit is bytes. Did you mean ${found}M?`;
  if (typeof found !== 'string') return undefined;
  const [, digits, unit] = /^(\d+(?:\.\d+)?) ?([kmgt])(?:i?b)?$/i.exec(found) ?? [];
  const size = digits === undefined || unit === undefined ? undefined : `${digits}${unit.toUpperCase()}iB`;
  return size !== undefined && size !== found && parseByteSize(size) !== undefined
    ? `Did you mean ${size}?`
    : undefined;
}

function durationHint(found: Plain | undefined): string | undefined {
  if (typeof found === 'number') return `A duration needs a unit. Did you mean ${found}s?`;
  if (typeof found !== 'string') return undefined;
  const [, digits, unit] = /^(\d+) ?([a-z]*)$/i.exec(found) ?? [];
  const duration =
    digits === undefined
      ? undefined
      : `${digits}${unit === undefined || unit === '' ? 's' : unit.slice(0, 1).toLowerCase()}`;
  return duration !== undefined && parseDuration(duration) !== undefined
    ? `Did you mean ${duration}?`
    : undefined;
}

function matches(issue: z.core.$ZodIssueInvalidStringFormat, text: string): boolean {
  const [, pattern] = /^\/(.*)\/[a-z]*$/s.exec(issue.pattern ?? '') ?? [];
  return pattern !== undefined && new RegExp(pattern, 'u').test(text);
}

/** Undefined where nothing better than the key's description can be said. */
export function valueHint(
  found: Plain | undefined,
  issue: z.core.$ZodIssue,
  keys: readonly string[],
): string | undefined {
  const choices = choicesOf(issue);
  if (found === null) return 'Give it a value, or remove the key.';
  const expected = issue.code === 'invalid_type' ? issue.expected : undefined;
  if (choices.length > 0) {
    const near = typeof found === 'string' ? nearest(found, choices) : undefined;
    return near === undefined ? undefined : `Did you mean "${near}"?`;
  }
  if (expected === 'boolean') return booleanHint(found);
  if (expected === 'array') return 'Write it as a list, each item on a line of its own behind "- ".';
  if (expected === 'object') return `Write its keys (${keys.join(', ')}) on lines of their own, indented.`;
  if ((expected === 'number' || expected === 'int') && typeof found === 'string')
    return 'Write a number, without quotes and units.';
  if (issue.message.startsWith('a size')) return sizeHint(found);
  if (issue.message.startsWith('a duration')) return durationHint(found);
  if (issue.message.startsWith('an absolute path') && typeof found === 'string' && !found.startsWith('/'))
    return 'Write the whole path, beginning with "/".';
  const lowered = typeof found === 'string' ? found.toLowerCase().replaceAll(/[_ ]/g, '-') : '';
  if (
    issue.code === 'invalid_format' &&
    issue.message.includes('lower') &&
    lowered !== found &&
    matches(issue, lowered)
  )
    return `Did you mean "${lowered}"?`;
  return expected === 'string' && typeof found !== 'object'
    ? `Put it in quotes: "${String(found)}".`
    : undefined;
}
