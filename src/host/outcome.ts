/** What became of `host up` and `host down`, and doing one of them at a time. */
import { setTimeout as delay } from 'node:timers/promises';
import { lockDirectory } from '../linux/directory-lock.ts';
import { NewerRecord, type Daemon } from './daemons.ts';
import type { HostSite } from './site.ts';

export interface HostOutcome {
  readonly ok: boolean;
  readonly daemons: readonly Daemon[];
  readonly message: string;
  readonly hint: string;
}

export function failed(daemons: readonly Daemon[], message: string, hint: string): HostOutcome {
  return { ok: false, daemons, message, hint };
}

export function unable(direction: 'up' | 'down', error: unknown): string {
  return `qward was not brought ${direction}: ${error instanceof Error ? error.message : String(error)}`;
}

export function hintFor(error: unknown, { roots }: HostSite): string {
  if (error instanceof NewerRecord) return error.hint;
  const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined;
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return `make room on the file systems of ${roots.run} and ${roots.state} (df -h)`;
  return `root must be able to write ${roots.run}, ${roots.state} and ${roots.config}`;
}

const lockDeadlineMs = 60_000;
const pollMs = 20;

/** Two at once would each start daemons of their own. Throws where another does not end in time. */
export async function whileLocked<Result>(site: HostSite, work: () => Promise<Result>): Promise<Result> {
  const deadline = performance.now() + lockDeadlineMs;
  for (;;) {
    using lock = lockDirectory(site.roots.run);
    if (lock !== undefined) return await work();
    if (performance.now() > deadline)
      throw new Error(`another \`qward host\` has been at work for ${lockDeadlineMs / 1000} s`);
    await delay(pollMs);
  }
}
