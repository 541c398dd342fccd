/** Reads values of unknown shape. Each function gives undefined for what is not as asked; none throws. */

export type Fields = Readonly<Record<string, unknown>>;

export function parseFields(value: unknown): Fields | undefined {
  return isObject(value) ? value : undefined;
}

/** A member of the object itself, never one that it inherits, such as `constructor`. */
export function memberOf(fields: Fields | undefined, key: string): unknown {
  return fields !== undefined && Object.hasOwn(fields, key) ? fields[key] : undefined;
}

export function parseText(value: unknown, maxLength: number): string | undefined {
  return typeof value === 'string' && value.length <= maxLength ? value : undefined;
}

/** A whole number from 0 on that a double holds exactly. */
export function parseCount(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

export function parseFlag(value: unknown): boolean | undefined {
  return typeof value === 'boolean' ? value : undefined;
}

/** Every item parsed; undefined where one of them could not be. */
export function parseList<Item>(
  value: unknown,
  parseItem: (item: unknown) => Item | undefined,
): readonly Item[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const items: Item[] = [];
  for (const raw of value as readonly unknown[]) {
    const item = parseItem(raw);
    if (item === undefined) return undefined;
    items.push(item);
  }
  return items;
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
