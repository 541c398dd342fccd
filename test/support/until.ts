/** What a test waits for that no event tells of. */
import { setTimeout as delay } from 'node:timers/promises';
import { isAlive, startTimeOf } from '../../src/linux/process.ts';

export async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const giveUpAt = performance.now() + 30_000; !(await holds()); await delay(50))
    if (performance.now() > giveUpAt) throw new Error(what);
}

/** pid 1 reaps lazily: a zombie is dead. */
export const livesOn = (pid: number): boolean => {
  const startTime = startTimeOf(pid);
  return startTime !== undefined && isAlive(pid, startTime);
};
