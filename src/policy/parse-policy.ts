/** The text of the policy's file, JSON with comments, to a policy: by a few combinators, without third-party code. */
import { absolutePath, defaultPolicy, type Policy, type Quota, type Who } from './policy.ts';

export interface PolicyFault {
  /** Where: `storageRoots[1].access`; empty: the whole. */
  readonly key: string;
  readonly message: string;
  /** Keys that there are, where one is not known. */
  readonly known?: readonly string[];
}

export type PolicyOutcome =
  | { readonly ok: true; readonly policy: Policy }
  | { readonly ok: false; readonly faults: readonly PolicyFault[] };

/** Parses the file's text; every fault at once. A key that is not given has its default. */
export function parsePolicy(text: string): PolicyOutcome {
  const plain = withoutComments(text);
  let value: unknown;
  let keys = 0;
  try {
    value = JSON.parse(plain, (_key, part: unknown) => {
      if (isObject(part)) keys += Object.keys(part).length;
      return part;
    });
  } catch (error) {
    return { ok: false, faults: [{ key: '', message: error instanceof Error ? error.message : 'not JSON' }] };
  }
  const faults: PolicyFault[] = [];
  // What is read first would not be what counts: of a key that is given twice, JSON.parse takes the last.
  const written = plain.match(/"(?:[^"\\]|\\.)*"\s*:?/g) ?? [];
  if (written.filter((word) => word.endsWith(':')).length !== keys)
    faults.push({ key: '', message: 'a key is given twice in one place' });
  const policy = parseWhole(value, { at: '', faults });
  return faults.length === 0 ? { ok: true, policy } : { ok: false, faults };
}

/** Replaces line and block comments outside strings by spaces, so that positions in messages stay right. */
export function withoutComments(text: string): string {
  return text.replace(/"(?:[^"\\\n]|\\.)*"|\/\/[^\n]*|\/\*[\s\S]*?\*\//g, (match) =>
    match.startsWith('"') ? match : match.replace(/[^\n]/g, ' '),
  );
}

interface Place {
  readonly at: string;
  readonly faults: PolicyFault[];
}
/** What it gives where it has told a fault is not used. */
type Parser<Value> = (value: unknown, place: Place) => Value;

function fault({ at, faults }: Place, message: string): undefined {
  faults.push({ key: at, message });
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Fields by their parsers; one that is not given has its default, or is missed. */
function object<Value extends object>(
  fields: { readonly [Key in keyof Value]: Parser<Value[Key]> },
  defaults: Partial<Value>,
): Parser<Value> {
  const names = Object.keys(fields);
  const parsers: [string, Parser<unknown>][] = Object.entries(fields);
  return (value, { at, faults }) => {
    const given = isObject(value) ? value : {};
    const below = (name: string): string => (at === '' ? name : `${at}.${name}`);
    if (!isObject(value)) fault({ at, faults }, 'an object expected');
    for (const name of Object.keys(given)) {
      if (!Object.hasOwn(fields, name))
        faults.push({ key: below(name.slice(0, 64)), message: 'unknown key', known: names });
    }
    const parsed = parsers.map(([name, parse]) => {
      const place = { at: below(name), faults };
      if (Object.hasOwn(given, name)) return [name, parse(given[name], place)];
      if (isObject(value) && !Object.hasOwn(defaults, name)) fault(place, 'missing');
      return [name, Reflect.get(defaults, name)];
    });
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each field was made by its own parser, or told as a fault
    return Object.fromEntries(parsed) as Value;
  };
}

function list<Value>(item: Parser<Value>): Parser<readonly Value[]> {
  return (value, { at, faults }) => {
    if (!Array.isArray(value)) fault({ at, faults }, 'a list expected');
    const items: readonly unknown[] = Array.isArray(value) ? value : [];
    return items.map((one, index) => item(one, { at: `${at}[${index}]`, faults }));
  };
}

function text(pattern: RegExp, expected: string): Parser<string> {
  return (value, place) => {
    if (typeof value === 'string' && value.length < 4096 && pattern.test(value)) return value;
    fault(place, `${expected} expected`);
    return '';
  };
}

function oneOf<const Value>(first: Value, second: Value): Parser<Value> {
  return (value, place) => {
    if (value === second) return second;
    if (value !== first) fault(place, `${JSON.stringify(first)} or ${JSON.stringify(second)} expected`);
    return first;
  };
}

function integer(least: number, most: number): Parser<number> {
  return (value, place) => {
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
    fault(place, `a whole number from ${least} to ${most} expected`);
    return least;
  };
}

/** Bytes: a number, or `512MiB`, `4G`; K, M, G, T and P are powers of 1024. */
const size: Parser<number> = (value, place) => {
  const [, digits = '', unit = ''] = /^(\d{1,15}) ?([KMGTP]?)(?:iB)?$/.exec(String(value)) ?? [];
  const bytes = digits === '' ? 0 : Number(digits) * 1024 ** ' KMGTP'.indexOf(unit || ' ');
  if (bytes > 0 && Number.isSafeInteger(bytes)) return bytes;
  fault(place, 'a size in bytes, or one like "4GiB", expected');
  return 1;
};

const beneath = (directory: string): RegExp => new RegExp(`^${directory}${absolutePath.source.slice(1)}`);
const path = text(absolutePath, 'an absolute path without "." and ".." parts');
const account = text(/^[a-zA-Z_][a-zA-Z0-9_.@\\-]{0,63}\$?$/, 'a name of the account database');
const access = oneOf('ro', 'rw');
const flag = oneOf(false, true);
const count = integer(1, 1_000_000);
const who = object<Who>({ users: list(account), groups: list(account) }, { users: [], groups: [] });
const whoOrAll: Parser<Who | null> = who;
const given = { access, who: whoOrAll };

function uidRange(value: unknown, at: Place): Policy['uidRange'] {
  const fields = { base: integer(1000, 0xffff_fffd), count };
  const { base, count: length } = object<Policy['uidRange']>(fields, {})(value, at);
  // -1 and 65534 ("nobody") are never a machine's; -2 is nobody of some systems.
  if (base + length > 0xffff_fffd || (base <= 65_535 && base + length > 65_534))
    fault(at, 'it must not reach 65534, 65535 or the last uids below 2^32');
  return { base, count: length };
}

const noLimits = { machines: null, cpus: null, memory: null, disk: null };

const parseWhole = object<Policy>(
  {
    groups: object({ operators: account, administrators: account }, defaultPolicy.groups),
    operate: oneOf('all', 'granted'),
    define: who,
    quotas: list(object<Quota>({ who, machines: count, cpus: count, memory: size, disk: size }, noLimits)),
    ownerClaims: flag,
    blockDevices: list(
      object({ path: text(beneath('/dev'), 'a path beneath /dev'), ...given }, { who: null }),
    ),
    lvmGroups: list(
      object(
        { group: text(/^[a-zA-Z0-9_+.][a-zA-Z0-9_+.-]{0,126}$/, 'a volume group'), ...given },
        { who: null },
      ),
    ),
    imageTools: list(path),
    allowAuditWarning: flag,
    uidRange,
    storageRoots: list(object({ path, ...given }, { who: null })),
    bridges: list(text(/^[a-zA-Z][a-zA-Z0-9_.-]{0,14}$/, 'the name of a bridge')),
    qemuBinaries: list(path),
    devices: list(text(/^\/dev\/(?:kvm|vhost-net)$/, '/dev/kvm or /dev/vhost-net')),
    ceilings: object({ memory: size, pids: count, openFiles: count, fileSize: size }, defaultPolicy.ceilings),
  },
  defaultPolicy,
);
