/** The pieces of which the parsers of both sockets are made: every field checked, bounded and typed, by hand. */
import { machineNamePattern } from '../protocol/launch.ts';

/** The peer does not speak the protocol. It gets no answer. */
export class ProtocolError extends Error {
  constructor(at: string, expected: string) {
    super(`${at}: ${expected} expected`);
    this.name = 'ProtocolError';
  }
}

export type Parse<T> = (value: unknown, at: string) => T;

/** A string of Unicode characters, none of them a control character; half a surrogate pair would reach the kernel as another. */
export function text(maxLength: number, pattern = /^[^\u0000-\u001f\u007f]*$/): Parse<string> {
  return (value, at) => {
    if (
      typeof value !== 'string' ||
      value.length > maxLength ||
      !value.isWellFormed() ||
      !pattern.test(value)
    )
      throw new ProtocolError(at, `a string like ${pattern.source}`);
    return value;
  };
}

export function integer(min: number, max: number): Parse<number> {
  return (value, at) => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
      throw new ProtocolError(at, `a whole number from ${min} to ${max}`);
    }
    return value;
  };
}

export function oneOf<const T extends string | number | boolean>(values: readonly T[]): Parse<T> {
  return (value, at) => {
    const found = values.find((candidate) => candidate === value);
    if (found === undefined) throw new ProtocolError(at, values.join(' or '));
    return found;
  };
}

export function list<T>(maxLength: number, item: Parse<T>): Parse<T[]> {
  return (value, at) => {
    if (!Array.isArray(value) || value.length > maxLength)
      throw new ProtocolError(at, `a list of at most ${maxLength}`);
    return value.map((element: unknown, index) => item(element, `${at}[${index}]`));
  };
}

/** An object with exactly these fields. */
export function record<T extends object>(fields: { readonly [Key in keyof T]: Parse<T[Key]> }): Parse<T> {
  const names = Object.keys(fields);
  return (value, at) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new ProtocolError(at, 'an object');
    const given = new Map<string, unknown>(Object.entries(value));
    for (const name of given.keys())
      if (!names.includes(name)) throw new ProtocolError(`${at}.${name.slice(0, 64)}`, 'no such field');
    const entries = Object.entries<Parse<unknown>>(fields).map(([name, parse]) => [
      name,
      parse(given.get(name), `${at}.${name}`),
    ]);
    // The compiler cannot follow a mapped type through entries; every field was parsed above.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    return Object.fromEntries(entries) as T;
  };
}

/** An object whose `key` field names which of the shapes it has. */
export function tagged<T extends object>(key: string, shapes: Readonly<Record<string, Parse<T>>>): Parse<T> {
  return (value, at) => {
    const tag: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
    const shape = typeof tag === 'string' && Object.hasOwn(shapes, tag) ? shapes[tag] : undefined;
    if (shape === undefined) throw new ProtocolError(`${at}.${key}`, Object.keys(shapes).join(' or '));
    return shape(value, at);
  };
}

export const machine = text(63, machineNamePattern);
export const access = oneOf(['ro', 'rw']);
/** Version of the protocol. */
export const v = oneOf([1]);

/** A parser of frames' bodies, which throws ProtocolError. */
export function parserOf<T>(request: Parse<T>): (body: Buffer) => T {
  return (body) => {
    let value: unknown;
    try {
      value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
    } catch {
      throw new ProtocolError('request', 'JSON in UTF-8');
    }
    return request(value, 'request');
  };
}
