/** Whether a process lives, told from a later one with the same pid: proc(5). */
import { readFileSync, readdirSync } from 'node:fs';

/**
 * Fields 3, 9, 20 and 22 of /proc/PID/stat, counted from behind the command name, which may hold anything. `startTime`: clock
 * ticks since boot. `exiting`: a zombie, or on its way to be one (PF_EXITING), without memory and, for cgroups v1, in `/`.
 * SECURITY: promise 2. A process whose main thread has ended while others run on shows state Z too, and lives: field 20
 * counts its threads.
 */
export function parseStat(stat: string): {
  readonly exiting: boolean;
  readonly ended: boolean;
  readonly startTime: number;
} {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const zombie = isEnded(fields[0]);
  const exiting = zombie || (Number(fields[6]) & 4) !== 0;
  return { exiting, ended: zombie && Number(fields[17]) <= 1, startTime: Number(fields[19]) };
}

/** Start time of a process; undefined for one that is gone or a zombie. */
export function startTimeOf(pid: number): number | undefined {
  try {
    const { ended, startTime } = parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
    return ended ? undefined : startTime;
  } catch {
    return undefined;
  }
}

const isEnded = (state: string | undefined): boolean => state === 'Z' || state === 'X';

/** Whether the process that had this pid and start time lives; a zombie does not. */
export function isAlive(pid: number, startTime: number): boolean {
  return startTimeOf(pid) === startTime;
}

/** Processes, zombies left out, any of whose four uids is in the range. Reads every /proc/PID/status: some milliseconds. */
export function processesOfUids(first: number, count: number): number[] {
  const found: number[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    let status: string;
    try {
      status = readFileSync(`/proc/${entry}/status`, 'latin1');
    } catch {
      continue;
    }
    const uids = /^Uid:\s+(.*)$/m.exec(status)?.[1]?.split(/\s+/).map(Number) ?? [];
    const dead = isEnded(/^State:\s+(\w)/m.exec(status)?.[1]) && /^Threads:\s+[01]$/m.test(status);
    if (!dead && uids.some((uid) => uid >= first && uid < first + count)) found.push(Number(entry));
  }
  return found;
}
