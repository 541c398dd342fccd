/** Which machine has which uid: persistent, so that a machine keeps its uid and no two ever share one. */
import { existsSync, readFileSync } from 'node:fs';
import { processesOfUids } from '../linux/process.ts';
import { machineNamePattern } from '../protocol/launch.ts';
import { errorCode } from '../linux/errno.ts';
import { readJson, writeWhole } from './files.ts';

export interface UidRange {
  readonly base: number;
  readonly count: number;
}

export interface Slots {
  /** The machine's uid, a free one where it has none yet; undefined where the range is used up. */
  readonly take: (machine: string, range: UidRange) => number | undefined;
  readonly release: (machine: string) => void;
  readonly rename: (machine: string, to: string) => void;
  readonly list: () => { readonly machine: string; readonly uid: number }[];
  /** Whether the file is there and cannot be read: the next machine that is started begins a new one. */
  readonly damaged: () => boolean;
}

export function openSlots(file: string): Slots {
  const load = (): Map<string, number> => {
    const value = readJson(file);
    const entries = isSlots(value) ? Object.entries(value) : [];
    return new Map(
      entries.filter(
        (entry): entry is [string, number] =>
          machineNamePattern.test(entry[0]) && Number.isSafeInteger(entry[1]),
      ),
    );
  };
  const save = (slots: Map<string, number>): void =>
    writeWhole(file, `${JSON.stringify(Object.fromEntries(slots), null, 1)}\n`, true);
  return {
    take: (machine, range) => {
      const slots = load();
      const own = slots.get(machine);
      if (own !== undefined && own >= range.base && own < range.base + range.count) return own;
      const uid = freeUid(new Set(slots.values()), range);
      if (uid !== undefined) save(slots.set(machine, uid));
      return uid;
    },
    release: (machine) => {
      const slots = load();
      if (slots.delete(machine)) save(slots);
    },
    rename: (machine, to) => {
      const slots = load();
      const uid = slots.get(machine);
      if (uid === undefined) return;
      slots.delete(machine);
      save(slots.set(to, uid));
    },
    list: () => [...load()].map(([machine, uid]) => ({ machine, uid })),
    damaged: () => existsSync(file) && !isSlots(readJson(file)),
  };
}

function isSlots(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The first uid of the range that no machine has and no process runs as. */
function freeUid(taken: ReadonlySet<number>, range: UidRange): number | undefined {
  for (let uid = range.base; uid < range.base + range.count; uid += 1) {
    // SECURITY: promise 2. A uid is given out only after a sweep finds no process of it.
    if (!taken.has(uid) && processesOfUids(uid, 1).length === 0) return uid;
  }
  return undefined;
}

/** The account that may hold the range for qward in /etc/passwd, /etc/subuid and /etc/subgid. */
export const rangeAccount = 'qward-machines';

/**
 * What of the host lies in the range: accounts, groups, and ranges of subordinate ids (passwd(5), group(5), subuid(5)).
 * Each as a sentence; none where the range is qward's alone.
 */
export function overlaps(range: UidRange, read: (path: string) => string = readIfThere): string[] {
  const inside = (first: number, count: number): boolean =>
    first < range.base + range.count && range.base < first + count;
  const lines = (path: string): string[][] =>
    read(path)
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => line.split(':'));
  const accounts = (path: string, what: string): string[] =>
    lines(path)
      .filter(([name, , id]) => name !== rangeAccount && id !== undefined && inside(Number(id), 1))
      .map(([name, , id]) => `${what} "${name}" (${id}) of ${path}`);
  const subordinate = (path: string): string[] =>
    lines(path)
      .filter(([name, first, count]) => name !== rangeAccount && inside(Number(first), Number(count)))
      .map(([name, first, count]) => `subordinate ids ${first}:${count} of "${name}" in ${path}`);
  return [
    ...accounts('/etc/passwd', 'account'),
    ...accounts('/etc/group', 'group'),
    ...subordinate('/etc/subuid'),
    ...subordinate('/etc/subgid'),
  ];
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return '';
    throw error;
  }
}
