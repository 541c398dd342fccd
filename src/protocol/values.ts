/**
 * The pieces of which the parsers of requests and of the policy are made: every field checked, bounded and typed, by hand.
 * A parser gives a value that is whole, or throws ValueFaults.
 */
export interface ValueFault {
  /** Where: `storageRoots[1].access`; empty: the whole. */
  readonly key: string;
  readonly message: string;
  /** Keys that there are, where one is not known. */
  readonly known?: readonly string[];
}

/** Every fault that was found in a value. */
export class ValueFaults extends Error {
  readonly faults: readonly ValueFault[];
  constructor(faults: readonly ValueFault[]) {
    super(`${faults[0]?.key}: ${faults[0]?.message}`);
    this.name = 'ValueFaults';
    this.faults = faults;
  }
}

export type Parse<Value> = (value: unknown, at: string) => Value;

export function wrong(at: string, message: string): never {
  throw new ValueFaults([{ key: at, message }]);
}

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What each gives; throws the faults of all of them, after those that were found before. */
function all<Value>(works: readonly (() => Value)[], before: readonly ValueFault[] = []): Value[] {
  const faults = [...before];
  const values = works.flatMap((work) => {
    try {
      return [work()];
    } catch (error) {
      if (!(error instanceof ValueFaults)) throw error;
      for (const fault of error.faults) faults.push(fault);
      return [];
    }
  });
  if (faults.length > 0) throw new ValueFaults(faults);
  return values;
}

/** An object with these fields and no other; one that is not given has its default, or is missed. */
export function record<Value extends object>(
  fields: { readonly [Key in keyof Value]: Parse<Value[Key]> },
  defaults: Partial<Value> = {},
): Parse<Value> {
  const known = Object.keys(fields);
  const parsers: [string, Parse<unknown>][] = Object.entries(fields);
  return (value, at) => {
    if (!isObject(value)) return wrong(at, 'an object expected');
    const below = (name: string): string => (at === '' ? name : `${at}.${name}`);
    const unknown = Object.keys(value)
      .filter((name) => !Object.hasOwn(fields, name))
      .map((name) => ({ key: below(name.slice(0, 64)), message: 'unknown key', known }));
    const works = parsers.map(([name, parse]) => (): [string, unknown] => {
      if (Object.hasOwn(value, name)) return [name, parse(value[name], below(name))];
      if (!Object.hasOwn(defaults, name)) return wrong(below(name), 'missing');
      return [name, Reflect.get(defaults, name)];
    });
    // The compiler cannot follow a mapped type through entries; every field was parsed above.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    return Object.fromEntries(all(works, unknown)) as Value;
  };
}

export function list<Value>(most: number, item: Parse<Value>): Parse<Value[]> {
  return (value, at) => {
    if (!Array.isArray(value) || value.length > most) return wrong(at, `a list of at most ${most} expected`);
    return all(value.map((one: unknown, index) => () => item(one, `${at}[${index}]`)));
  };
}

/** A string of whole Unicode characters: half a surrogate pair would reach the kernel as another. */
export function text(
  most: number,
  pattern: RegExp,
  expected = `a string like ${pattern.source}`,
): Parse<string> {
  return (value, at) => {
    if (typeof value === 'string' && value.length <= most && value.isWellFormed() && pattern.test(value))
      return value;
    return wrong(at, `${expected} expected`);
  };
}

export function oneOf<const Value>(values: readonly Value[]): Parse<Value> {
  return (value, at) => {
    const found = values.find((candidate) => candidate === value);
    if (found !== undefined) return found;
    return wrong(at, `${values.map((one) => JSON.stringify(one)).join(' or ')} expected`);
  };
}

export function integer(least: number, most: number): Parse<number> {
  return (value, at) => {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most)
      return value;
    return wrong(at, `a whole number from ${least} to ${most} expected`);
  };
}

export function orNull<Value>(parse: Parse<Value>): Parse<Value | null> {
  return (value, at) => (value === null ? null : parse(value, at));
}
