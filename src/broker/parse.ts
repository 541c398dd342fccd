/** Reads a request by hand: every field checked, bounded and typed; an unknown field, call or type ends the connection. */
import type { BrokerRequest } from '../protocol/broker.ts';
import {
  deviceNodes,
  machineNamePattern,
  maxDescriptors,
  socketNames,
  type Descriptor,
  type LaunchLimits,
  type LaunchRequest,
} from '../protocol/launch.ts';

/** The peer does not speak the protocol. It gets no answer. */
export class ProtocolError extends Error {
  constructor(at: string, expected: string) {
    super(`${at}: ${expected} expected`);
    this.name = 'ProtocolError';
  }
}

type Parse<T> = (value: unknown, at: string) => T;

/** A string without control characters. */
function text(maxLength: number, pattern = /^[^\u0000-\u001f\u007f]*$/): Parse<string> {
  return (value, at) => {
    if (typeof value !== 'string' || value.length > maxLength || !pattern.test(value))
      throw new ProtocolError(at, `a string like ${pattern.source}`);
    return value;
  };
}

function integer(min: number, max: number): Parse<number> {
  return (value, at) => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
      throw new ProtocolError(at, `a whole number from ${min} to ${max}`);
    }
    return value;
  };
}

function oneOf<const T extends string | number | boolean>(values: readonly T[]): Parse<T> {
  return (value, at) => {
    const found = values.find((candidate) => candidate === value);
    if (found === undefined) throw new ProtocolError(at, values.join(' or '));
    return found;
  };
}

function list<T>(maxLength: number, item: Parse<T>): Parse<T[]> {
  return (value, at) => {
    if (!Array.isArray(value) || value.length > maxLength)
      throw new ProtocolError(at, `a list of at most ${maxLength}`);
    return value.map((element: unknown, index) => item(element, `${at}[${index}]`));
  };
}

/** An object with exactly these fields. */
function record<T extends object>(fields: { readonly [Key in keyof T]: Parse<T[Key]> }): Parse<T> {
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
function tagged<T extends object>(key: string, shapes: Readonly<Record<string, Parse<T>>>): Parse<T> {
  return (value, at) => {
    const tag: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
    const shape = typeof tag === 'string' && Object.hasOwn(shapes, tag) ? shapes[tag] : undefined;
    if (shape === undefined) throw new ProtocolError(`${at}.${key}`, Object.keys(shapes).join(' or '));
    return shape(value, at);
  };
}

/** Environment variables: names in capitals, as POSIX has them. */
const environment: Parse<Record<string, string>> = (value, at) => {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new ProtocolError(at, 'an object');
  const entries = Object.entries(value);
  if (entries.length > 64) throw new ProtocolError(at, 'at most 64 variables');
  return Object.fromEntries(
    entries.map(([name, content]: [string, unknown]) => [
      text(64, /^[A-Z_][A-Z0-9_]*$/)(name, `${at} name`),
      text(4096)(content, `${at}.${name}`),
    ]),
  );
};

const path = text(4095, /^\/[^\u0000-\u001f\u007f]*$/);
const machine = text(63, machineNamePattern);
const access = oneOf(['ro', 'rw']);
const maxBytes = integer(0, Number.MAX_SAFE_INTEGER);

const descriptor = tagged<Descriptor>('kind', {
  file: record({ kind: oneOf(['file']), path, access, reopened: oneOf([true, false]) }),
  socket: record({ kind: oneOf(['socket']), name: oneOf(socketNames) }),
  tap: record({ kind: oneOf(['tap']), bridge: text(15, /^[a-zA-Z][a-zA-Z0-9_.-]*$/) }),
  'vhost-net': record({ kind: oneOf(['vhost-net']) }),
});

const limits = record<LaunchLimits>({
  memory: maxBytes,
  pids: integer(1, 65_536),
  cpuWeight: integer(1, 10_000),
  cpuQuota: (value, at) => (value === null ? null : integer(1000, 1_000_000_000)(value, at)),
  ioWeight: integer(1, 10_000),
  openFiles: integer(16, 1_048_576),
  fileSize: maxBytes,
});

const launch = record<LaunchRequest>({
  machine,
  binary: path,
  argv: list(2048, text(16_384, /^[^\u0000]*$/)),
  env: environment,
  descriptors: list(maxDescriptors, descriptor),
  devices: list(deviceNodes.length, oneOf(deviceNodes)),
  root: list(256, record({ source: path, target: path })),
  limits,
  seccomp: oneOf(['qemu']),
});

const v = oneOf([1]);

const request = tagged<BrokerRequest>('call', {
  launch: record({ v, call: oneOf(['launch']), launch }),
  kill: record({ v, call: oneOf(['kill']), machine }),
  reap: record({ v, call: oneOf(['reap']), machine }),
  inspect: record({ v, call: oneOf(['inspect']), machine }),
  'inspect-pid': record({ v, call: oneOf(['inspect-pid']), pid: integer(1, 4_194_304) }),
  probe: record({ v, call: oneOf(['probe']), paths: list(512, record({ path, access })) }),
  status: record({ v, call: oneOf(['status']) }),
  forget: record({ v, call: oneOf(['forget']), machine }),
  rename: record({ v, call: oneOf(['rename']), machine, to: machine }),
});

/** Parses a frame's body. Throws ProtocolError. */
export function parseRequest(body: Buffer): BrokerRequest {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw new ProtocolError('request', 'JSON in UTF-8');
  }
  return request(value, 'request');
}
