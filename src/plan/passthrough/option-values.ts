/** Values of QEMU's options taken apart: `first,key=value,,with comma`, JSON, and file names that are JSON themselves. */

/** One value within an option, and the keys that lead to it: `addr.path`, `file.filename`. */
export interface Leaf {
  /** Empty: the whole value. */
  readonly key: string;
  readonly text: string;
}

/** Deeper than anything that QEMU takes; what lies below is not looked at. */
const maxDepth = 16;

/** The first word of a list of keys stands under `implied`; a word without `=` means that the key is on. */
export function leavesOf(value: string, implied: string): readonly Leaf[] {
  if (value.startsWith('{')) return leavesOfJson(value) ?? [{ key: '', text: value }];
  return splitKeys(value).flatMap((part, index) => {
    const equals = part.indexOf('=');
    if (equals > 0) return withNested({ key: part.slice(0, equals), text: part.slice(equals + 1) });
    return withNested(
      index === 0 && implied !== '' ? { key: implied, text: part } : { key: part, text: 'on' },
    );
  });
}

/** At single commas; `,,` is one within a value (QEMU, util/keyval.c and util/qemu-option.c). */
function splitKeys(value: string): readonly string[] {
  return value
    .replaceAll(',,', '\0')
    .split(',')
    .map((part) => part.replaceAll('\0', ','));
}

/** `file=json:{…}` is a tree below its key. */
function withNested(leaf: Leaf): readonly Leaf[] {
  const json = leaf.text.startsWith('json:')
    ? leaf.text.slice(5)
    : leaf.text.startsWith('{')
      ? leaf.text
      : undefined;
  const below = json === undefined ? undefined : leavesOfJson(json);
  return below?.map(({ key, text }) => ({ key: `${leaf.key}.${key}`, text })) ?? [leaf];
}

function leavesOfJson(text: string): readonly Leaf[] | undefined {
  try {
    return flatten(JSON.parse(text), '', 0);
  } catch {
    return undefined;
  }
}

function flatten(value: unknown, key: string, depth: number): readonly Leaf[] {
  if (depth > maxDepth) return [];
  if (typeof value === 'string')
    return value.startsWith('json:') ? withNested({ key, text: value }) : [{ key, text: value }];
  if (typeof value !== 'object' || value === null)
    return [{ key, text: value === true ? 'on' : value === false ? 'off' : String(value) }];
  const entries: [string, unknown][] = Object.entries(value);
  return entries.flatMap(([name, child]) => flatten(child, key === '' ? name : `${key}.${name}`, depth + 1));
}

/** The value of a key; the last counts, as in QEMU. */
export function valueOf(leaves: readonly Leaf[], ...keys: readonly string[]): string | undefined {
  return leaves.findLast(({ key }) => keys.includes(key))?.text;
}

const off = new Set(['off', 'no', 'false', 'n']);
/** Whether a switch is on; one that is not written is not. */
export function isOn(leaves: readonly Leaf[], ...keys: readonly string[]): boolean {
  const value = valueOf(leaves, ...keys);
  return value !== undefined && !off.has(value);
}
