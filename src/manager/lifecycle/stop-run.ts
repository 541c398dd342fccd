/** Asking a guest to shut down, and waiting for it. */
import { setTimeout as wait } from 'node:timers/promises';
import { commands } from '../../qmp/commands.ts';
import type { Run } from './run.ts';

/** A guest that is still booting misses the button: it is pressed again. */
const pressEveryMs = 5_000;

/**
 * Presses the power button until the run has ended; false where it has not after `timeoutMs`. A paused guest is let go
 * on, since it could not shut down otherwise.
 */
export async function askToStop(run: Run, ended: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const giveUpAt = performance.now() + timeoutMs;
  run.ending = 'powerdown';
  for (;;) {
    const left = giveUpAt - performance.now();
    if (left <= 0) return false;
    void pressButton(run, left);
    const timer = new AbortController();
    const pause = wait(Math.min(left, pressEveryMs), 'pause', { signal: timer.signal }).catch(() => 'ended');
    const first = await Promise.race([ended.then(() => 'ended'), pause]);
    timer.abort();
    if (first === 'ended') return true;
  }
}

async function pressButton(run: Run, timeoutMs: number): Promise<void> {
  const { session } = run;
  if (session === undefined) return;
  const limit = { timeoutMs: Math.min(timeoutMs, pressEveryMs) };
  const status = await commands.queryStatus(session, limit);
  if (status.ok && !status.value.running) await commands.cont(session, limit);
  await commands.systemPowerdown(session, limit);
}
