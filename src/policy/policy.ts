/** What the administrator allows: /etc/qward/policy.json, its keys, its defaults, and its reading without third-party code. */

export interface Policy {
  readonly uidRange: { readonly base: number; readonly count: number };
  /** Directories beneath which machines may have files; each path without links. */
  readonly storageRoots: readonly { readonly path: string; readonly access: 'ro' | 'rw' }[];
  /** Bridges that machines may be joined to. */
  readonly bridges: readonly string[];
  readonly qemuBinaries: readonly string[];
  /** Host devices that a machine may get: /dev/kvm, /dev/vhost-net. */
  readonly devices: readonly string[];
  /** The most that one machine may ask for; sizes in bytes. */
  readonly ceilings: {
    readonly memory: number;
    readonly pids: number;
    readonly openFiles: number;
    readonly fileSize: number;
  };
}

const TiB = 1024 ** 4;

export const defaultPolicy: Policy = {
  uidRange: { base: 0x7000_0000, count: 65_536 },
  storageRoots: [{ path: '/var/lib/qward/images', access: 'rw' }],
  bridges: [],
  qemuBinaries: ['/usr/bin/qemu-system-x86_64'],
  devices: ['/dev/kvm', '/dev/vhost-net'],
  ceilings: { memory: 4 * TiB, pids: 4096, openFiles: 4096, fileSize: 64 * TiB },
};

export type PolicyOutcome =
  | { readonly ok: true; readonly policy: Policy }
  | { readonly ok: false; readonly faults: readonly string[] };

/** Parses the file's text; every fault at once. A key that is not given has its default. */
export function parsePolicy(text: string): PolicyOutcome {
  let value: unknown;
  try {
    value = JSON.parse(withoutComments(text));
  } catch (error) {
    return { ok: false, faults: [error instanceof Error ? error.message : 'not JSON'] };
  }
  const faults: string[] = [];
  const given = entriesOf(value, 'the policy', Object.keys(defaultPolicy), faults);
  const policy: Policy = {
    uidRange: given.has('uidRange') ? parseRange(given.get('uidRange'), faults) : defaultPolicy.uidRange,
    storageRoots: given.has('storageRoots')
      ? parseRoots(given.get('storageRoots'), faults)
      : defaultPolicy.storageRoots,
    bridges: given.has('bridges')
      ? parseStrings(given.get('bridges'), 'bridges', /^[a-zA-Z][a-zA-Z0-9_.-]{0,14}$/, faults)
      : [],
    qemuBinaries: given.has('qemuBinaries')
      ? parseStrings(given.get('qemuBinaries'), 'qemuBinaries', absolutePath, faults)
      : defaultPolicy.qemuBinaries,
    devices: given.has('devices')
      ? parseStrings(given.get('devices'), 'devices', /^\/dev\/(kvm|vhost-net)$/, faults)
      : defaultPolicy.devices,
    ceilings: given.has('ceilings') ? parseCeilings(given.get('ceilings'), faults) : defaultPolicy.ceilings,
  };
  return faults.length === 0 ? { ok: true, policy } : { ok: false, faults };
}

/** An absolute path without control characters, empty, `.` and `..` parts, and no slash at the end. */
export const absolutePath = /^(?:\/(?!\.{1,2}(?:\/|$))[^/\u0000-\u001f\u007f]+)+$/;

/** Replaces line and block comments outside strings by spaces, so that positions in messages stay right. */
export function withoutComments(text: string): string {
  return text.replace(/"(?:[^"\\\n]|\\.)*"|\/\/[^\n]*|\/\*[\s\S]*?\*\//g, (match) =>
    match.startsWith('"') ? match : match.replace(/[^\n]/g, ' '),
  );
}

function entriesOf(
  value: unknown,
  at: string,
  keys: readonly string[],
  faults: string[],
): Map<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    faults.push(`${at}: an object expected`);
    return new Map();
  }
  const entries = new Map<string, unknown>(Object.entries(value));
  for (const key of entries.keys()) {
    if (!keys.includes(key))
      faults.push(`${at}: unknown key "${key.slice(0, 64)}"; known are ${keys.join(', ')}`);
  }
  return entries;
}

function parseInteger(
  value: unknown,
  at: string,
  [min, max]: readonly [number, number],
  faults: string[],
): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) return value;
  faults.push(`${at}: a whole number from ${min} to ${max} expected`);
  return min;
}

function parseStrings(value: unknown, at: string, pattern: RegExp, faults: string[]): string[] {
  if (!Array.isArray(value)) {
    faults.push(`${at}: a list expected`);
    return [];
  }
  return value.flatMap((item: unknown, index) => {
    if (typeof item === 'string' && item.length < 4096 && pattern.test(item)) return [item];
    faults.push(`${at}[${index}]: a string like ${pattern.source} expected`);
    return [];
  });
}

function parseRange(value: unknown, faults: string[]): Policy['uidRange'] {
  const entries = entriesOf(value, 'uidRange', ['base', 'count'], faults);
  const base = parseInteger(entries.get('base'), 'uidRange.base', [1000, 0xffff_fffd], faults);
  const count = parseInteger(entries.get('count'), 'uidRange.count', [1, 1_000_000], faults);
  // -1 and 65534 ("nobody") are never a machine's; -2 is nobody of some systems.
  if (base + count > 0xffff_fffd || (base <= 65_535 && base + count > 65_534)) {
    faults.push('uidRange: it must not reach 65534, 65535 or the last uids below 2^32');
  }
  return { base, count };
}

function parseRoots(value: unknown, faults: string[]): Policy['storageRoots'] {
  if (!Array.isArray(value)) {
    faults.push('storageRoots: a list expected');
    return [];
  }
  return value.map((item: unknown, index) => {
    const at = `storageRoots[${index}]`;
    const entries = entriesOf(item, at, ['path', 'access'], faults);
    const [path = '/invalid'] = parseStrings([entries.get('path')], `${at}.path`, absolutePath, faults);
    const access = entries.get('access');
    if (access !== 'ro' && access !== 'rw') faults.push(`${at}.access: "ro" or "rw" expected`);
    return { path, access: access === 'rw' ? 'rw' : 'ro' };
  });
}

function parseCeilings(value: unknown, faults: string[]): Policy['ceilings'] {
  const keys = ['memory', 'pids', 'openFiles', 'fileSize'] as const;
  const entries = entriesOf(value, 'ceilings', keys, faults);
  const ceiling = (key: (typeof keys)[number]): number =>
    entries.has(key)
      ? parseInteger(entries.get(key), `ceilings.${key}`, [1, Number.MAX_SAFE_INTEGER], faults)
      : defaultPolicy.ceilings[key];
  return {
    memory: ceiling('memory'),
    pids: ceiling('pids'),
    openFiles: ceiling('openFiles'),
    fileSize: ceiling('fileSize'),
  };
}

/**
 * The storage roots that hold, or lie in, one of the directories: a manager that was taken over must not reach qward's own
 * state by way of a disk. Pure; paths as `absolutePath` has them.
 */
export function rootsAround(policy: Policy, directories: readonly string[]): string[] {
  const within = (inner: string, outer: string): boolean => inner === outer || inner.startsWith(`${outer}/`);
  return policy.storageRoots
    .map(({ path }) => path)
    .filter((path) => directories.some((directory) => within(directory, path) || within(path, directory)));
}
