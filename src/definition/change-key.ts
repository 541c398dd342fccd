/** A key of `qward set` (`cpu.count`, `disks.root.cache`) as a place in a definition, and its value as the schema types it. */
import type { DefinitionKey } from './definition-keys.ts';
import type { Fault } from './fault.ts';
import { keyPattern, printable, valueAt, type KeyPath, type Plain } from './key-path.ts';
import { nearest } from './suggest.ts';
import { unknownKeyHint } from './unknown-key.ts';
import type { NewValue } from './yaml-text.ts';

export interface Change {
  readonly key: string;
  /** Text as the user typed it; null takes the key out. */
  readonly value: string | null;
}

export interface PlacedChange {
  readonly key: string;
  readonly path: KeyPath;
  readonly value: NewValue | null;
}

export type ChangeOutcome =
  | { readonly ok: true; readonly change: PlacedChange }
  | { readonly ok: false; readonly fault: Fault };

export function changeFault(key: string, message: string, hint: string): Fault {
  return {
    code: 'definition-invalid',
    message: `${key === '' ? 'an empty key' : printable(key)}: ${message}`,
    hint,
  };
}

function idsIn(list: Plain | undefined): readonly string[] {
  if (!Array.isArray(list)) return [];
  return (list as readonly Plain[]).map((item) => {
    const id = valueAt(item, ['id']);
    return typeof id === 'string' ? id : '';
  });
}

type PathOutcome =
  | { readonly ok: true; readonly path: KeyPath }
  | { readonly ok: false; readonly fault: Fault };

/** `disks.root` is the item of `disks` with the id `root`. */
function pathOf(key: string, keys: readonly DefinitionKey[], root: Plain): PathOutcome {
  const path: (string | number)[] = [];
  const fail = (message: string, hint: string): PathOutcome => ({
    ok: false,
    fault: changeFault(key, message, hint),
  });
  for (const part of key.split('.')) {
    const list = valueAt(root, path);
    const entry = keys.find((candidate) => candidate.key === keyPattern(path));
    if (typeof path.at(-1) === 'string' && entry?.schema.type === 'array' && hasKeys(entry, keys)) {
      const ids = idsIn(list);
      const index = ids.indexOf(part);
      const near = nearest(part, ids);
      const there = ids.length === 0 ? 'There are none.' : `There are ${ids.join(', ')}.`;
      if (index === -1)
        return fail(
          `nothing in ${keyPattern(path)} has the id "${printable(part)}"`,
          near === undefined ? there : `Did you mean "${near}"?`,
        );
      path.push(index);
    } else {
      const pattern = keyPattern([...path, part]);
      if (!keys.some((candidate) => candidate.key === pattern))
        return fail('there is no such key', unknownKeyHint(part, keyPattern(path), keys));
      path.push(part);
    }
  }
  return { ok: true, path };
}

const hasKeys = (entry: DefinitionKey, keys: readonly DefinitionKey[]): boolean =>
  keys.some((candidate) => candidate.parent === entry.key || candidate.parent === `${entry.key}[]`);

/** `seccomp: off` beside `seccomp: {mode: off, reason: …}`. */
const hasShortForm = ({ schema }: DefinitionKey): boolean =>
  (schema.anyOf ?? []).some((one) => typeof one === 'object' && one.type === 'string');

/** Text as the value that the schema asks for; text that is no such value is left for the schema to refuse. */
function typed(text: string, { schema }: DefinitionKey): NewValue {
  const shapes = [schema, ...(schema.anyOf ?? [])];
  const types = new Set(shapes.map((one) => (typeof one === 'object' ? one.type : undefined)));
  if (types.has('array'))
    return text
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '');
  if (types.has('boolean') && (text === 'true' || text === 'false')) return text === 'true';
  const numeric = types.has('number') || types.has('integer');
  return numeric && /^-?\d{1,15}(\.\d{1,9})?$/.test(text) ? Number(text) : text;
}

export function placeChange(
  { key, value }: Change,
  keys: readonly DefinitionKey[],
  root: Plain,
): ChangeOutcome {
  const fail = (message: string, hint: string): ChangeOutcome => ({
    ok: false,
    fault: changeFault(key, message, hint),
  });
  const placed = pathOf(key, keys, root);
  if (!placed.ok) return placed;
  const { path } = placed;
  if (key === 'name') return fail('the name cannot be set', 'Use `qward rename`.');
  if (value === null) return { ok: true, change: { key, path, value: null } };
  const entry = keys.find((candidate) => candidate.key === keyPattern(path));
  if (entry === undefined || (hasKeys(entry, keys) && !hasShortForm(entry))) {
    const below = keys
      .filter(({ parent }) => parent === (entry?.key ?? keyPattern(path)))
      .map(({ name }) => name);
    const hint =
      below.length > 0 ? `Set one of its keys: ${below.join(', ')}.` : 'Use `qward edit` for lists.';
    return fail('this is no single value', hint);
  }
  return { ok: true, change: { key, path, value: typed(value, entry) } };
}
