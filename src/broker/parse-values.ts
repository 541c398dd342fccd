/** What the parsers of both sockets have in common. */
import { machineNamePattern } from '../protocol/launch.ts';
import { oneOf, text, wrong, type Parse } from '../protocol/values.ts';

/** An object whose `key` field names which of the shapes it has. */
export function tagged<T extends object>(key: string, shapes: Readonly<Record<string, Parse<T>>>): Parse<T> {
  return (value, at) => {
    const tag: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
    const shape = typeof tag === 'string' && Object.hasOwn(shapes, tag) ? shapes[tag] : undefined;
    if (shape === undefined) return wrong(`${at}.${key}`, `${Object.keys(shapes).join(' or ')} expected`);
    return shape(value, at);
  };
}

export const machine = text(63, machineNamePattern);
export const access = oneOf(['ro', 'rw']);
/** Version of the protocol. */
export const v = oneOf([1]);

/** A parser of frames' bodies, which throws ValueFaults. */
export function parserOf<T>(request: Parse<T>): (body: Buffer) => T {
  return (body) => {
    let value: unknown;
    try {
      value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
    } catch {
      return wrong('request', 'JSON in UTF-8 expected');
    }
    return request(value, 'request');
  };
}
