/** The text of the policy's file, JSON with comments, to a policy. */
import {
  integer,
  isObject,
  list,
  oneOf,
  orNull,
  record,
  text,
  ValueFaults,
  wrong,
  type Parse,
  type ValueFault,
} from '../protocol/values.ts';
import {
  deviceNode,
  machineNamePattern,
  relaxableWalls,
  relaxedTo,
  relaxedValues,
} from '../protocol/launch.ts';
import {
  absolutePath,
  defaultPolicy,
  type BridgeRule,
  type ForwardRule,
  type Policy,
  type Quota,
  type Who,
} from './policy.ts';

export type PolicyFault = ValueFault;

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
  // What is read first would not be what counts: of a key that is given twice, JSON.parse takes the last.
  const written = plain.match(/"(?:[^"\\]|\\.)*"\s*:?/g) ?? [];
  const twice = written.filter((word) => word.endsWith(':')).length !== keys;
  const faults = twice ? [{ key: '', message: 'a key is given twice in one place' }] : [];
  try {
    const policy = parseWhole(value, '');
    return twice ? { ok: false, faults } : { ok: true, policy };
  } catch (error) {
    if (!(error instanceof ValueFaults)) throw error;
    return { ok: false, faults: [...faults, ...error.faults] };
  }
}

/** Replaces line and block comments outside strings by spaces, so that positions in messages stay right. */
export function withoutComments(text: string): string {
  return text.replace(/"(?:[^"\\\n]|\\.)*"|\/\/[^\n]*|\/\*[\s\S]*?\*\//g, (match) =>
    match.startsWith('"') ? match : match.replace(/[^\n]/g, ' '),
  );
}

/** Bytes: a number, or `512MiB`, `4G`; K, M, G, T and P are powers of 1024. */
const size: Parse<number> = (value, at) => {
  const [, digits = '', unit = ''] = /^(\d{1,15}) ?([KMGTP]?)(?:iB)?$/.exec(String(value)) ?? [];
  const bytes = digits === '' ? 0 : Number(digits) * 1024 ** ' KMGTP'.indexOf(unit || ' ');
  if (bytes > 0 && Number.isSafeInteger(bytes)) return bytes;
  return wrong(at, 'a size in bytes, or one like "4GiB", expected');
};

const maxTextLength = 4095;
const maxItems = 65_536;
const beneath = (directory: string): RegExp => new RegExp(`^${directory}${absolutePath.source.slice(1)}`);
const path = text(maxTextLength, absolutePath, 'an absolute path without "." and ".." parts');
const account = text(
  maxTextLength,
  /^[a-zA-Z_][a-zA-Z0-9_.@\\-]{0,63}\$?$/,
  'a name of the account database',
);
const access = oneOf(['ro', 'rw']);
const flag = oneOf([false, true]);
const count = integer(1, 1_000_000);
const accounts = list(maxItems, account);
const who = record<Who>({ users: accounts, groups: accounts }, { users: [], groups: [] });
const whoOrAll: Parse<Who | null> = who;
const given = { access, who: whoOrAll };
const port = integer(1, 65_535);
const ipAddress = text(45, /^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f:]*:[0-9a-f:.]*)$/, 'an IP address');

const rangeFields = record<Policy['uidRange']>({ base: integer(1000, 0xffff_fffd), count });

function uidRange(value: unknown, at: string): Policy['uidRange'] {
  const { base, count: length } = rangeFields(value, at);
  // -1 and 65534 ("nobody") are never a machine's; -2 is nobody of some systems.
  if (base + length > 0xffff_fffd || (base <= 65_535 && base + length > 65_534))
    return wrong(at, 'it must not reach 65534, 65535 or the last uids below 2^32');
  return { base, count: length };
}

const noLimits = { machines: null, cpus: null, memory: null, disk: null };

const bridge = text(maxTextLength, /^[a-zA-Z][a-zA-Z0-9_.-]{0,14}$/, 'the name of a bridge');
const bridgeFields = record<BridgeRule>({ bridge, who: whoOrAll }, { who: null });
/** A name alone is for everybody. */
const bridgeRule: Parse<BridgeRule> = (value, at) =>
  typeof value === 'string' ? { bridge: bridge(value, at), who: null } : bridgeFields(value, at);

type Relaxation = Policy['relaxations'][number];

const relaxationFields = record<Relaxation>(
  {
    relax: oneOf(relaxableWalls),
    to: text(255, relaxedTo, 'a word without spaces'),
    machines: list(maxItems, text(63, machineNamePattern, 'the name of a machine')),
  },
  { machines: null },
);

function relaxation(value: unknown, at: string): Relaxation {
  const line = relaxationFields(value, at);
  const values = relaxedValues[line.relax];
  return values === undefined || values.includes(line.to)
    ? line
    : wrong(`${at}.to`, `${values.join(' or ')} expected`);
}

const parseWhole = record<Policy>(
  {
    groups: record({ operators: account, administrators: account }, defaultPolicy.groups),
    operate: oneOf(['all', 'granted']),
    define: who,
    quotas: list(
      maxItems,
      record<Quota>({ who, machines: count, cpus: count, memory: size, disk: size }, noLimits),
    ),
    ownerClaims: flag,
    relaxations: list(maxItems, relaxation),
    allowRoot: flag,
    blockDevices: list(
      maxItems,
      record(
        { path: text(maxTextLength, beneath('/dev'), 'a path beneath /dev'), ...given, rawio: flag },
        { who: null, rawio: false },
      ),
    ),
    lvmGroups: list(
      maxItems,
      record(
        { group: text(maxTextLength, /^[a-zA-Z0-9_+.][a-zA-Z0-9_+.-]{0,126}$/, 'a volume group'), ...given },
        { who: null },
      ),
    ),
    imageTools: list(maxItems, path),
    hooks: list(maxItems, record({ name: text(31, /^[a-z][a-z0-9-]{0,30}$/, 'the name of a hook'), path })),
    allowAuditWarning: flag,
    uidRange,
    storageRoots: list(maxItems, record({ path, ...given }, { who: null })),
    bridges: list(maxItems, bridgeRule),
    defaultBridge: orNull(bridge),
    networkHelpers: list(maxItems, path),
    networkServers: list(maxItems, path),
    tpmServers: list(maxItems, path),
    shareServers: list(maxItems, path),
    forwards: list(
      maxItems,
      record<ForwardRule>(
        { addresses: list(maxItems, ipAddress), from: port, to: port, who: whoOrAll },
        { from: 1024, to: 65_535, who: null },
      ),
    ),
    qemuBinaries: list(maxItems, path),
    sockets: list(maxItems, record({ path, who: whoOrAll }, { who: null })),
    devices: list(maxItems, text(maxTextLength, deviceNode, 'the path of a device such as /dev/kvm')),
    ceilings: record({ memory: size, pids: count, openFiles: count, fileSize: size }, defaultPolicy.ceilings),
  },
  defaultPolicy,
);
