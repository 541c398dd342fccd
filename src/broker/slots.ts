/** Which machine has which uid: persistent, so that a machine keeps its uid and no two ever share one. */
import { readFileSync } from 'node:fs';
import { processesOfUids } from '../linux/process.ts';
import { machineNamePattern } from '../protocol/launch.ts';
import { isObject } from '../protocol/values.ts';
import { unlessMissing } from '../linux/errno.ts';
import { openState, UnusableState } from './state.ts';

export interface UidRange {
  readonly base: number;
  readonly count: number;
}

export interface Slots {
  /** The machine's uid, a free one where it has none yet; undefined where the range is used up. Throws UnusableState. */
  readonly take: (machine: string, range: UidRange) => number | undefined;
  readonly release: (machine: string) => void;
  readonly rename: (machine: string, to: string) => void;
  readonly list: () => { readonly machine: string; readonly uid: number }[];
  /** A spoilt file is begun anew by the next start; over a newer qward's nothing is written: no machine starts. */
  readonly fault: () => UnusableState | undefined;
  /** Throws where nothing can be changed. */
  readonly check: () => void;
}

type SlotTable = Readonly<Record<string, number>>;

export function openSlots(path: string): Slots {
  const file = openState<SlotTable>(path, {
    key: 'slots',
    parse: (content) => (isTable(content) ? content : undefined),
    cure: 'machines get new uids as they start',
  });
  const load = (): Map<string, number> => {
    const found = file.look();
    if (found instanceof UnusableState && found.newer) throw found;
    return new Map(found === undefined || found instanceof UnusableState ? [] : Object.entries(found));
  };
  const save = (slots: Map<string, number>): void => file.write(Object.fromEntries(slots));
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
    list: () => (file.fault() === undefined ? [...load()].map(([machine, uid]) => ({ machine, uid })) : []),
    fault: file.fault,
    check: () => void load(),
  };
}

function isTable(content: unknown): content is SlotTable {
  if (!isObject(content)) return false;
  return Object.entries(content).every(
    ([machine, uid]) => machineNamePattern.test(machine) && Number.isSafeInteger(uid),
  );
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
