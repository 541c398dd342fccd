/** Which machine has which uid: persistent, so that a machine keeps its uid and no two ever share one. */
import { existsSync, readFileSync } from 'node:fs';
import { processesOfUids } from '../linux/process.ts';
import { machineNamePattern } from '../protocol/launch.ts';
import { isObject } from '../protocol/values.ts';
import { unlessMissing } from '../linux/errno.ts';
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
    const entries = isObject(value) ? Object.entries(value) : [];
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
    damaged: () => existsSync(file) && !isObject(readJson(file)),
  };
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

/** Lines `name:x:id:...`, or `name:first:count` where ids are counted. */
const idFiles = [
  { path: '/etc/passwd', what: 'account', counted: false },
  { path: '/etc/group', what: 'group', counted: false },
  { path: '/etc/subuid', what: 'subordinate ids of', counted: true },
  { path: '/etc/subgid', what: 'subordinate ids of', counted: true },
] as const;

/**
 * What of the host lies in the range: accounts, groups, and ranges of subordinate ids (passwd(5), group(5), subuid(5)).
 * Each as a sentence; none where the range is qward's alone.
 */
export function overlaps(range: UidRange, read: (path: string) => string = readIfThere): string[] {
  return idFiles.flatMap(({ path, what, counted }) =>
    read(path)
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .flatMap((line) => {
        const [name = '', second = '', third = ''] = line.split(':');
        const [first, count] = counted ? [Number(second), Number(third)] : [Number(third), 1];
        const inside = first < range.base + range.count && range.base < first + count;
        if (name === rangeAccount || !inside) return [];
        return [`${what} "${name}" (${counted ? `${second}:${third}` : third}) in ${path}`];
      }),
  );
}

const readIfThere = (path: string): string => unlessMissing(() => readFileSync(path, 'utf8')) ?? '';
