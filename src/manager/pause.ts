import { setTimeout as wait } from 'node:timers/promises';

/** What a timer of Node can wait. */
export const longestMs = 2 ** 31 - 1;

/** Pauses for this long, or until the signal fires. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await wait(Math.min(ms, longestMs), undefined, { signal }).catch(() => undefined);
}
