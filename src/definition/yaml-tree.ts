/** The tree that the YAML parser makes, read so that one error spoils as little as possible. */
import { isMap, isNode, isScalar, isSeq, type YAMLMap } from 'yaml';
import type { KeyPath } from './key-path.ts';

export function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}

/** One key of a mapping; `key` is undefined where it is no word. */
export interface Entry {
  readonly key: string | undefined;
  readonly offset: number;
  readonly value: unknown;
  /** The value is an error that swallowed the keys after it. */
  readonly broken: boolean;
}

/**
 * The keys of a mapping. `a: b: c` is an error, and the parser takes the lines below it for keys within the value of
 * `a`: here they are what they were meant to be, keys beside it.
 */
export function entriesOf(map: YAMLMap, text: string): readonly Entry[] {
  return map.items.flatMap(({ key, value }): readonly Entry[] => {
    const offset = startOf(key) ?? startOf(value) ?? startOf(map) ?? 0;
    const name = isScalar(key) ? (key.source ?? String(key.value)) : undefined;
    const begin = startOf(value) ?? offset;
    const broken =
      isMap(value) && value.flow !== true && map.flow !== true && !text.slice(offset, begin).includes('\n');
    const entry = { key: name, offset, value, broken };
    return broken ? [entry, ...entriesOf(value, text).slice(1)] : [entry];
  });
}

function hasText(value: unknown): boolean {
  return isScalar(value) ? value.value !== null : isNode(value);
}

/** Offset of the key or value at a path, or of the nearest thing around it that is there. */
export function offsetOf(root: unknown, text: string, path: KeyPath, what: 'key' | 'value'): number {
  let node = root;
  let offset = startOf(root) ?? 0;
  for (const [index, part] of path.entries()) {
    if (isMap(node)) {
      const entry = entriesOf(node, text).find(({ key }) => key === part);
      if (entry === undefined) return offset;
      const atValue = index === path.length - 1 && what === 'value' && hasText(entry.value);
      offset = (atValue ? startOf(entry.value) : undefined) ?? entry.offset;
      node = entry.value;
    } else if (isSeq(node)) {
      node = node.items[Number(part)];
      offset = startOf(node) ?? offset;
    } else return offset;
  }
  return offset;
}
