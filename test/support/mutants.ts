/** Mutations of requests, as fast-check makes and shrinks them: of values in a message, and of the bytes of its frame. */
import fc from 'fast-check';
import { encodeFrame } from '../../src/protocol/frame.ts';

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Values that parsers have stumbled over. */
const oddNumbers = [0, -1, 1, 0.5, 65_534, 2 ** 31, 2 ** 32 - 1, 2 ** 53, -(2 ** 53), 1e308];
const oddPaths = [
  '.',
  '..',
  '/',
  '//',
  '/..',
  '../../etc/shadow',
  '/etc/shadow',
  '/proc/self/mem',
  '/dev/vda',
];
const oddNames = [
  '__proto__',
  'constructor',
  'toString',
  'a'.repeat(64),
  'a'.repeat(5000),
  '-chardev',
  '$(id)',
];
const oddTexts = ['', 'a\0b', '\n', '\ud800', '\u202e', '%s%n', '1', 'NaN'];
const oddShapes: readonly Json[] = [
  null,
  true,
  false,
  [],
  {},
  [[]],
  [null],
  { length: 1 },
  { toString: 'x' },
];
const oddValues: readonly Json[] = [...oddNumbers, ...oddPaths, ...oddNames, ...oddTexts, ...oddShapes];

interface Mutation {
  readonly kind: 'drop' | 'replace' | 'add' | 'double' | 'swap' | 'affix';
  /** Which of the message's places, and which of the values: by number, taken modulo how many there are. */
  readonly place: number;
  readonly value: Json;
}

const mutation = fc.record<Mutation>({
  kind: fc.constantFrom('drop', 'replace', 'add', 'double', 'swap', 'affix'),
  place: fc.nat(10_000),
  value: fc.oneof(fc.constantFrom(...oddValues), fc.integer(), fc.string({ maxLength: 20, unit: 'binary' })),
});

const textOf = (value: Json): string => (typeof value === 'string' ? value : JSON.stringify(value));

/** Every place of a message but its top, as a list of keys. */
function placesOf(value: Json, at: readonly (string | number)[] = []): (readonly (string | number)[])[] {
  if (typeof value !== 'object' || value === null) return [];
  const entries: [string | number, Json][] = Array.isArray(value)
    ? [...value.entries()]
    : Object.entries(value);
  return entries.flatMap(([key, inner]) => [[...at, key], ...placesOf(inner, [...at, key])]);
}

function mutate(message: Json, { kind, place, value }: Mutation): Json {
  const copy = structuredClone(message);
  const places = placesOf(copy);
  const path = places[place % Math.max(places.length, 1)];
  if (path === undefined) return value;
  let parent = copy as Record<string | number, Json>;
  for (const key of path.slice(0, -1)) parent = parent[key] as Record<string | number, Json>;
  const last = path.at(-1) ?? '';
  const old = parent[last] ?? null;
  const define = (key: string | number, content: Json): void =>
    void Object.defineProperty(parent, key, {
      value: content,
      enumerable: true,
      writable: true,
      configurable: true,
    });
  if (kind === 'drop') {
    if (Array.isArray(parent)) parent.splice(Number(last), 1);
    else delete parent[last];
  } else if (kind === 'add')
    define(Array.isArray(parent) ? parent.length : textOf(value).slice(0, 40), value);
  else if (kind === 'double') define(last, [old, old]);
  else if (kind === 'swap')
    define(
      last,
      (places.length > 0 && path.length > 1 ? parent[Object.keys(parent)[0] ?? ''] : value) ?? value,
    );
  else if (kind === 'affix')
    define(
      last,
      typeof old === 'string' ? `${old}${textOf(value)}` : typeof old === 'number' ? old + 1 : value,
    );
  else define(last, value);
  return copy;
}

/** Frames made of these messages by one to three mutations, some of them with bytes changed, cut off or put in as well. */
export function mutantFrames(messages: readonly object[]): fc.Arbitrary<Buffer> {
  const changes = fc.record({
    base: fc.constantFrom(...messages),
    mutations: fc.array(mutation, { minLength: 0, maxLength: 3 }),
    bytes: fc.option(
      fc.record({
        at: fc.nat(20_000),
        put: fc.uint8Array({ maxLength: 4 }),
        cut: fc.nat(8),
        header: fc.boolean(),
      }),
      { freq: 4 },
    ),
  });
  return changes.map(({ base, mutations, bytes }) => {
    const frame = encodeFrame(mutations.reduce(mutate, base as Json));
    if (bytes === null) return frame;
    const at = bytes.at % frame.length;
    const changed = Buffer.concat([frame.subarray(0, at), bytes.put, frame.subarray(at + bytes.cut)]);
    // Half of them with a length that is right again, so that the parser sees the rest.
    if (bytes.header && changed.length >= 4) changed.writeUInt32BE(changed.length - 4);
    return changed;
  });
}
