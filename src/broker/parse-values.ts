/** What the parsers of both sockets have in common. */
import { machineNamePattern } from '../protocol/launch.ts';
import { protocolVersion } from '../protocol/broker.ts';
import { networkNamePattern } from '../protocol/networks.ts';
import { isObject, oneOf, text, ValueFaults, wrong, type Parse } from '../protocol/values.ts';

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
export const network = text(10, networkNamePattern);
export const access = oneOf(['ro', 'rw']);
/** Version of the protocol. */
export const v = oneOf([protocolVersion]);

/** A request of an older or newer qward: the only one of another form that is answered, so that its sender knows the cure. */
export class OtherProtocol extends ValueFaults {
  constructor(found: number) {
    super([{ key: 'request.v', message: `it is of version ${found} of the protocol` }]);
  }
}

/** A parser of frames' bodies, which throws ValueFaults. */
export function parserOf<T>(request: Parse<T>): (body: Buffer) => T {
  return (body) => {
    let value: unknown;
    try {
      value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
    } catch {
      return wrong('request', 'JSON in UTF-8 expected');
    }
    const found = isObject(value) ? value['v'] : undefined;
    if (Number.isSafeInteger(found) && found !== protocolVersion) throw new OtherProtocol(Number(found));
    return request(value, 'request');
  };
}
