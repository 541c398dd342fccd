/**
 * A definition that is being put together from a foreign document, with where each of its values comes from: so that a
 * value that the definition does not take can be said at its line.
 */
import type { DefinitionKey } from '../definition/definition-keys.ts';
import { isPlainMap, valueAt, type Plain, type PlainMap } from '../definition/key-path.ts';
import { imported, unsupported, type Verdict } from './verdict.ts';

/** One group of keys: the machine itself, or one item of one of its lists. `Source` is a place of the foreign document. */
export interface Part<Source> {
  /** `disks`; empty for the machine itself. */
  readonly list: string;
  values: PlainMap;
  /** What it was made from. */
  readonly source: Source;
  /** Where the value of each key comes from: `limits.iops`. */
  readonly sources: Map<string, Source>;
}

/** With a value at a key such as `limits.iops`. */
export function withValue(values: PlainMap, key: string, value: Plain): PlainMap {
  const [name = '', ...rest] = key.split('.');
  if (rest.length === 0) return { ...values, [name]: value };
  const below = values[name];
  return { ...values, [name]: withValue(isPlainMap(below) ? below : {}, rest.join('.'), value) };
}

/** Without a key, and without groups that are empty then. */
export function without(values: PlainMap, key: string): PlainMap {
  const [name = '', ...rest] = key.split('.');
  const { [name]: below, ...others } = values;
  const kept = rest.length > 0 && isPlainMap(below) ? without(below, rest.join('.')) : {};
  return Object.keys(kept).length === 0 ? others : { ...values, [name]: kept };
}

export class MachineDraft<Source> {
  readonly machine: Part<Source>;
  readonly parts: Part<Source>[] = [];
  /** Patterns of every key that a definition has: `disks[].limits.iops`. */
  readonly #known: ReadonlySet<string>;
  readonly #ids = new Set<string>();

  constructor(source: Source, keys: readonly DefinitionKey[]) {
    this.#known = new Set(keys.map(({ key }) => key));
    this.machine = { list: '', values: {}, source, sources: new Map() };
  }

  has(list: string, key: string): boolean {
    return this.#known.has(list === '' ? key : `${list}[]${key === '' ? '' : `.${key}`}`);
  }

  /** A new item of a list; its place among those of the list is that of the call. */
  begin(list: string, source: Source, values: PlainMap): Part<Source> {
    const sources = new Map(Object.keys(values).map((key) => [key, source]));
    const part = { list, values, source, sources };
    this.parts.push(part);
    return part;
  }

  /** Takes a part out, from the boot order too. */
  drop(part: Part<Source>): void {
    this.parts.splice(this.parts.indexOf(part), 1);
    const order = this.valueAt(this.machine, 'boot.order');
    if (!Array.isArray(order)) return;
    const rest = (order as readonly Plain[]).filter((id) => id !== part.values['id']);
    this.machine.values =
      rest.length === 0
        ? without(this.machine.values, 'boot.order')
        : withValue(this.machine.values, 'boot.order', rest);
  }

  unset(part: Part<Source>, key: string): void {
    part.values = without(part.values, key);
    part.sources.delete(key);
  }

  /** Sets a key of a part. A key that definitions do not have is left out, and said. */
  set(part: Part<Source>, key: string, value: Plain, source: Source): Verdict {
    if (!this.has(part.list, key)) return unsupported('a definition has no key for it');
    part.values = withValue(part.values, key, value);
    part.sources.set(key, source);
    return imported;
  }

  valueAt(part: Part<Source>, key: string): Plain | undefined {
    return valueAt(part.values, key.split('.'));
  }

  /** One more item of a list that is a key. */
  append(part: Part<Source>, key: string, item: Plain, source: Source): Verdict {
    const before = this.valueAt(part, key);
    const items: readonly Plain[] = Array.isArray(before) ? before : [];
    return this.set(part, key, [...items, item], source);
  }

  /** The same for words that are there once. */
  include(part: Part<Source>, key: string, word: string, source: Source): Verdict {
    const before = this.valueAt(part, key);
    if (Array.isArray(before) && before.includes(word)) return imported;
    return this.append(part, key, word, source);
  }

  items(list: string): readonly Part<Source>[] {
    return this.parts.filter((part) => part.list === list);
  }

  /** An id that no other part has, like the wish. */
  newId(wish: string): string {
    if (/^[a-z][a-z0-9-]{0,30}$/.test(wish) && !this.#ids.has(wish)) {
      this.#ids.add(wish);
      return wish;
    }
    const plain = wish
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-')
      .replaceAll(/^[^a-z]+|-+$/g, '')
      .slice(0, 28);
    const base = plain === '' ? 'part' : plain;
    let id = base;
    for (let number = 2; this.#ids.has(id); number += 1) id = `${base.slice(0, 27)}${number}`;
    this.#ids.add(id);
    return id;
  }

  /** The whole, with lists as lists. */
  value(): PlainMap {
    const lists = new Map<string, Plain[]>();
    for (const { list, values } of this.parts) lists.set(list, [...(lists.get(list) ?? []), values]);
    return { ...this.machine.values, ...Object.fromEntries(lists) };
  }
}
