/** Whether a process lives, told from a later one with the same pid: proc(5). */
import { readFileSync, readdirSync } from 'node:fs';

/** /proc/PID/stat after the command name, which may hold anything: state is field 3. */
function statFields(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

/**
 * Start time in clock ticks since boot (field 22); undefined for a process that is gone or a zombie.
 * SECURITY: promise 2. One whose main thread has ended while others run on shows state Z too, and lives: field 20
 * counts its threads.
 */
export function startTimeOf(pid: number): number | undefined {
  const fields = statFields(pid);
  if (fields === undefined || (isEnded(fields[0]) && Number(fields[17]) <= 1)) return undefined;
  return Number(fields[19]);
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
