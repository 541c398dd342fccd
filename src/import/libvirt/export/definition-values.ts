/** Values of a whole definition, every default filled in, by the names of their keys. */
import { parseByteSize } from '../../../definition/byte-size.ts';
import { isPlainMap, valueAt, type Plain, type PlainMap } from '../../../definition/key-path.ts';

export class Values {
  readonly #map: PlainMap;

  constructor(map: PlainMap) {
    this.#map = map;
  }

  at(key: string): Plain | undefined {
    return valueAt(this.#map, key.split('.'));
  }

  text(key: string): string | undefined {
    const value = this.at(key);
    return typeof value === 'string' ? value : undefined;
  }

  number(key: string): number | undefined {
    const value = this.at(key);
    return typeof value === 'number' ? value : undefined;
  }

  is(key: string): boolean {
    return this.at(key) === true;
  }

  /** `on` or `off`; undefined where the key is not set. */
  state(key: string): 'on' | 'off' | undefined {
    const value = this.at(key);
    return typeof value === 'boolean' ? (value ? 'on' : 'off') : undefined;
  }

  bytes(key: string): number | undefined {
    const value = this.at(key);
    return typeof value === 'string' || typeof value === 'number' ? parseByteSize(value) : undefined;
  }

  words(key: string): readonly string[] {
    const value = this.at(key);
    return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
  }

  items(key: string): readonly Values[] {
    const value = this.at(key);
    return Array.isArray(value)
      ? (value as readonly Plain[]).filter(isPlainMap).map((item) => new Values(item))
      : [];
  }

  group(key: string): Values | undefined {
    const value = this.at(key);
    return isPlainMap(value) ? new Values(value) : undefined;
  }

  keys(): readonly string[] {
    return Object.keys(this.#map);
  }
}

/** Milliseconds of `5s`, `2m`, `500ms`, `1h`. */
export function millisecondsOf(duration: string | undefined): number | undefined {
  const match = /^(\d+)(ms|s|m|h)$/.exec(duration ?? '');
  const factor = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match?.[2] ?? ''];
  return match?.[1] === undefined || factor === undefined ? undefined : Number(match[1]) * factor;
}
