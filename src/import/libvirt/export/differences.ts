/** What two whole definitions say differently. */
import { isPlainMap, type Plain, type PlainMap } from '../../../definition/key-path.ts';

/** A key and its value, null for a key that is not set. */
export type OwnKey = readonly [key: string, value: Plain];

const same = (one: Plain | undefined, other: Plain | undefined): boolean =>
  JSON.stringify(one) === JSON.stringify(other);

const idOf = ({ id }: PlainMap): string => (typeof id === 'string' ? id : '');

const listsOfParts = new Set(['disks', 'cdroms', 'nics']);

function idsOf(value: Plain | undefined): string {
  return Array.isArray(value)
    ? (value as readonly Plain[]).map((item) => (isPlainMap(item) ? idOf(item) : '')).join(' ')
    : '';
}

/** Keys of `mine` of which the other says something else. */
export function differences(mine: PlainMap, other: PlainMap, prefix = ''): readonly OwnKey[] {
  const names = new Set([...Object.keys(mine), ...Object.keys(other)]);
  return [...names].flatMap((name): readonly OwnKey[] => {
    const [value, found] = [mine[name], other[name]];
    const key = `${prefix}${name}`;
    if (same(value, found)) return [];
    if (isPlainMap(value) && isPlainMap(found)) return differences(value, found, `${key}.`);
    if (prefix === '' && listsOfParts.has(name) && idsOf(value) === idsOf(found)) {
      const [items, others] = [value, found].map((list) =>
        Array.isArray(list) ? (list as readonly Plain[]) : [],
      );
      return (items ?? []).flatMap((item, index) => {
        const there = others?.[index];
        if (!isPlainMap(item) || !isPlainMap(there)) return [];
        return differences(item, there, `${name}.${idOf(item)}.`);
      });
    }
    return [[key, value ?? null]];
  });
}
