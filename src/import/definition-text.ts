/** A definition as short YAML: keys in the order of the schema, without those that say what goes without saying. */
import { stringify } from 'yaml';
import type { DefinitionKey } from '../definition/definition-keys.ts';
import { isPlainMap, type Plain } from '../definition/key-path.ts';

type Order = ReadonlyMap<string, { readonly place: number; readonly preset: unknown }>;

const orderOf = (keys: readonly DefinitionKey[]): Order =>
  new Map(keys.map(({ key, schema }, place) => [key, { place, preset: schema.default }]));

function tidy(value: Plain, pattern: string, order: Order): Plain {
  if (Array.isArray(value))
    return (value as readonly Plain[]).map((item) => tidy(item, `${pattern}[]`, order));
  if (!isPlainMap(value)) return value;
  const keyOf = (name: string): string => (pattern === '' ? name : `${pattern}.${name}`);
  const entries = Object.entries(value)
    .map(([name, below]) => ({ name, known: order.get(keyOf(name)), below: tidy(below, keyOf(name), order) }))
    .filter(
      ({ known, below }) =>
        known?.preset === undefined || JSON.stringify(known.preset) !== JSON.stringify(below),
    )
    .filter(({ below }) => !isPlainMap(below) || Object.keys(below).length > 0)
    .sort((a, b) => (a.known?.place ?? Infinity) - (b.known?.place ?? Infinity));
  return Object.fromEntries(entries.map(({ name, below }) => [name, below]));
}

export function definitionText(value: Plain, keys: readonly DefinitionKey[]): string {
  return stringify(tidy(value, '', orderOf(keys)), { lineWidth: 0, version: '1.2', schema: 'core' });
}
