import { setTimeout as wait } from 'node:timers/promises';

/** What a timer of Node can wait. */
export const longestMs = 2 ** 31 - 1;

/** Pauses for this long, or until the signal fires. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  const options = signal === undefined ? {} : { signal };
  if (ms > 0) await wait(Math.min(ms, longestMs), undefined, options).catch(() => undefined);
}
