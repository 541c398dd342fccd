/** What is wrong with the values of a definition by its schema alone, in words. */
import type { z } from 'zod';
import { definitionKeys, type DefinitionKey } from './definition-keys.ts';
import { anyOf, choicesOf, expectation } from './expectation.ts';
import { isPlainMap, keyPattern, showValue, valueAt, type KeyPath, type Plain } from './key-path.ts';
import { valueHint } from './value-hint.ts';
import { machineSchema } from './schema.ts';
import { unknownKeyHint } from './unknown-key.ts';

export interface ValueFault {
  readonly path: KeyPath;
  readonly message: string;
  readonly hint: string;
  /** Whether the key or the value is to be pointed at. */
  readonly at: 'key' | 'value';
  /** The key is not there. */
  readonly absent: boolean;
  /** The key has no value. */
  readonly empty: boolean;
  /** The rule of qward that the value breaks, where it is more than a matter of form. */
  readonly rule?: string;
}

type Issue = z.core.$ZodIssue;
const pathOf = (issue: Issue): KeyPath =>
  issue.path.map((part) => (typeof part === 'number' ? part : String(part)));

/** A copy with another value at a path. */
function replaced(root: Plain, path: KeyPath, value: Plain): Plain {
  const [part, ...rest] = path;
  if (part === undefined) return value;
  const child = replaced(valueAt(root, [part]) ?? null, rest, value);
  if (Array.isArray(root))
    return (root as readonly Plain[]).map((item, index) => (index === part ? child : item));
  return isPlainMap(root) ? { ...root, [part]: child } : root;
}

/**
 * All issues at once: zod does not look into an object whose kind it does not know, so it is asked again with a kind
 * filled in, for the rest.
 */
function issuesOf(value: Plain): readonly Issue[] {
  const issues = machineSchema.safeParse(value, { error: expectation }).error?.issues ?? [];
  let filled = value;
  const unknownKinds = new Set<string>();
  for (const issue of issues) {
    const kind = issue.code === 'invalid_union' ? choicesOf(issue)[0] : undefined;
    if (kind === undefined) continue;
    filled = replaced(filled, pathOf(issue), kind);
    unknownKinds.add(JSON.stringify(issue.path.slice(0, -1)));
  }
  if (unknownKinds.size === 0) return issues;
  const more = machineSchema.safeParse(filled, { error: expectation }).error?.issues ?? [];
  const within = more.filter(({ path }) =>
    path.some((_, index) => unknownKinds.has(JSON.stringify(path.slice(0, index)))),
  );
  const unread = more.filter(
    (issue) => issue.code === 'unrecognized_keys' && unknownKinds.has(JSON.stringify(issue.path)),
  );
  return [...issues, ...new Set([...within, ...unread])];
}

function missingKey(path: KeyPath, expected: string, key: DefinitionKey | undefined): ValueFault {
  const choices = key?.schema.enum === undefined ? '' : ` (${anyOf(key.schema.enum.map(String))})`;
  return {
    path,
    message: `is missing; expected ${choices === '' ? expected : choices.slice(2, -1)}`,
    hint: key?.schema.description ?? '',
    at: 'value',
    absent: true,
    empty: false,
  };
}

/** Faults of the values; empty where the schema has none. */
export function valueFaults(value: Plain): readonly ValueFault[] {
  const issues = issuesOf(value);
  if (issues.length === 0) return [];
  const keys = definitionKeys();
  return issues.flatMap((issue): readonly ValueFault[] => {
    const path = pathOf(issue);
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((name) => ({
        path: [...path, name],
        message: 'there is no such key',
        hint: unknownKeyHint(name, keyPattern(path), keys),
        at: 'key',
        absent: false,
        empty: false,
      }));
    const found = valueAt(value, path);
    const key = keys.find((entry) => entry.key === keyPattern(path).replace(/\[\]$/, ''));
    if (found === undefined && path.length > 0) return [missingKey(path, issue.message, key)];
    const size = issue.code === 'too_big' && typeof found !== 'number' ? sizeOf(found) : showValue(found);
    return [
      {
        path,
        message: `found ${size}; expected ${issue.message}`,
        hint: valueHint(found, issue, keysBelow(keys, path)) ?? key?.schema.description ?? '',
        at: 'value',
        absent: false,
        empty: found === null,
        ...(key?.schema.title === 'path' ? { rule: 'plain-paths' } : {}),
      },
    ];
  });
}

function keysBelow(keys: readonly DefinitionKey[], path: KeyPath): readonly string[] {
  return keys.filter((key) => key.parent === keyPattern(path)).map((key) => key.name);
}

function sizeOf(value: Plain | undefined): string {
  if (typeof value === 'string' || Array.isArray(value)) return String(value.length);
  return showValue(value);
}
