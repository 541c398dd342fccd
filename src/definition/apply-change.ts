/** One change of a definition's text, checked to be the only one. */
import type { Fault } from './fault.ts';
import { isPlainMap, keyLabel, valueAt, type KeyPath, type Plain } from './key-path.ts';
import { parseDefinition } from './parse.ts';
import { readYaml } from './read-yaml.ts';
import { spliceYaml } from './splice-yaml.ts';
import type { NewValue } from './yaml-text.ts';

export type ChangedSource =
  | { readonly ok: true; readonly source: string }
  | { readonly ok: false; readonly faults: readonly Fault[] };

interface TextChange {
  readonly path: KeyPath;
  readonly value: NewValue | null;
}

type Naming = (path: KeyPath, root: Plain) => string;
const byNumber: Naming = (path) =>
  path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`)).join('');

/** Every single value with its name, in one order. */
function leaves(
  root: Plain,
  naming: Naming,
  path: KeyPath = [],
): readonly (readonly [name: string, text: string])[] {
  const value = valueAt(root, path);
  if (Array.isArray(value)) return value.flatMap((_, index) => leaves(root, naming, [...path, index]));
  if (isPlainMap(value)) return Object.keys(value).flatMap((key) => leaves(root, naming, [...path, key]));
  return [[naming(path, root), JSON.stringify(value)]];
}

const isWithin = (name: string, outer: string): boolean =>
  name.startsWith(outer) && ['', '.', '['].includes(name.charAt(outer.length));

function isOnlyChange(before: Plain, after: Plain, { path, value }: TextChange): boolean {
  // When a list item goes, those behind it have other numbers, but the same ids; when an id changes, the same numbers.
  const naming = value === null ? keyLabel : byNumber;
  const changed = naming(path, before);
  const [old, now] = [leaves(before, naming), leaves(after, naming)];
  const rest = (all: typeof old): string =>
    JSON.stringify(all.filter(([name]) => !isWithin(name, changed)).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  if (rest(old) !== rest(now)) return false;
  return value === null
    ? !now.some(([name]) => isWithin(name, changed))
    : JSON.stringify(valueAt(after, path)) === JSON.stringify(value);
}

/** Undefined where the text is written in a way that cannot be changed at this place alone. */
export function applyChange(source: string, change: TextChange): string | undefined {
  const text = spliceYaml(source, change.path, change.value);
  if (text === undefined) return undefined;
  const [before, after] = [readYaml(source), readYaml(text)];
  return after.faults.length === 0 && isOnlyChange(before.value, after.value, change) ? text : undefined;
}

/** The text if it is a definition; places in a text that the user never saw are left out of the faults. */
export function checkedSource(source: string): ChangedSource {
  const parsed = parseDefinition(source);
  if (parsed.ok) return { ok: true, source };
  return {
    ok: false,
    faults: parsed.faults.map(({ code, message, hint, path }) => ({
      code,
      message,
      hint,
      ...(path ? { path } : {}),
    })),
  };
}
