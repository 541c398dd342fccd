/** Asking a guest to shut down, and waiting for it. */
import { setTimeout as wait } from 'node:timers/promises';
import { commands } from '../../qmp/commands.ts';
import { askAgentToStop } from './ask-agent.ts';
import type { Run } from './run.ts';

/** A guest that is still booting misses the button: it is pressed again. */
const pressEveryMs = 5_000;

/**
 * Asks the guest's agent, where there is one, and presses the power button until the run has ended; false where it has not
 * after `timeoutMs`. A paused guest is let go on, since it could not shut down otherwise.
 */
export async function askToStop(run: Run, ended: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  const giveUpAt = performance.now() + timeoutMs;
  run.ending = 'powerdown';
  for (let first = true; ; first = false) {
    const left = giveUpAt - performance.now();
    if (left <= 0) return false;
    void askOnce(run, left, first);
    const timer = new AbortController();
    const pause = wait(Math.min(left, pressEveryMs), 'pause', { signal: timer.signal }).catch(() => 'ended');
    const won = await Promise.race([ended.then(() => 'ended'), pause]);
    timer.abort();
    if (won === 'ended') return true;
  }
}

async function askOnce(run: Run, timeoutMs: number, first: boolean): Promise<void> {
  const { session } = run;
  if (session === undefined) return;
  const limit = { timeoutMs: Math.min(timeoutMs, pressEveryMs) };
  const status = await commands.queryStatus(session, limit);
  if (status.ok && !status.value.running) {
    // SECURITY: promise 5. A start that nobody is known to have finished: no wall was proved, and no guest is let go on.
    if (!run.begun) return;
    await commands.cont(session, limit);
  }
  if (first && (await askAgentToStop(run, timeoutMs))) return;
  await commands.systemPowerdown(session, limit);
}
