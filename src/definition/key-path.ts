/** Places in a definition: as zod has them (`['disks', 0, 'cache']`) and as people write them (`disks.root.cache`). */

export type KeyPath = readonly (string | number)[];

/** What YAML can hold, once it is read. */
export type Plain = null | boolean | number | string | readonly Plain[] | PlainMap;
export interface PlainMap {
  readonly [key: string]: Plain;
}

export function isPlainMap(value: Plain | undefined): value is PlainMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function valueAt(value: Plain | undefined, path: KeyPath): Plain | undefined {
  let here: Plain | undefined = value;
  for (const part of path) {
    if (Array.isArray(here)) here = (here as readonly Plain[])[Number(part)];
    else if (isPlainMap(here) && Object.hasOwn(here, part)) here = here[part];
    else return undefined;
  }
  return here;
}

/** The id of a list item, where it has one that can be written in a key. */
function idOf(item: Plain | undefined): string | undefined {
  const id = isPlainMap(item) ? item['id'] : undefined;
  return typeof id === 'string' && /^[a-z][a-z0-9-]*$/.test(id) ? id : undefined;
}

/** `disks.root.backing[0].path`: list items by id where they have one, else by number. Keys are cut and made printable. */
export function keyLabel(path: KeyPath, root: Plain): string {
  let label = '';
  for (const [index, part] of path.entries()) {
    const id = typeof part === 'number' ? idOf(valueAt(root, path.slice(0, index + 1))) : undefined;
    if (typeof part === 'number' && id === undefined) label += `[${part}]`;
    else label += `${label === '' ? '' : '.'}${printable(id ?? String(part))}`;
  }
  return label;
}

/** Where the schema knows the key: `disks[].backing[].path`. */
export function keyPattern(path: KeyPath): string {
  return path.reduce<string>(
    (text, part) => (typeof part === 'number' ? `${text}[]` : `${text}${text === '' ? '' : '.'}${part}`),
    '',
  );
}

export function startsWith(path: KeyPath, beginning: KeyPath): boolean {
  return beginning.every((part, index) => path[index] === part);
}

/** Text of a user within a message: one line, by default 60 characters at most. */
export function printable(text: string, most = 60): string {
  const safe = JSON.stringify(text)
    .slice(1, -1)
    .replaceAll('\\"', '"')
    .replaceAll(/[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, '?');
  return safe.length > most ? `${safe.slice(0, most - 3)}...` : safe;
}

/** What was found, for people. */
export function showValue(value: Plain | undefined): string {
  if (value === undefined || value === null) return 'nothing';
  if (typeof value === 'string') return `"${printable(value)}"`;
  if (typeof value !== 'object') return String(value);
  return Array.isArray(value) ? 'a list' : 'a group of keys';
}
