/** The broker does one thing at a time for a machine, and says so instead of letting us wait. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Outcome } from './outcome.ts';

const busyRetryMs = 20;
const busyForMs = 10_000;

/** Asks until the machine is not busy any more, or that takes too long. */
export async function whenNotBusy<Value>(call: () => Promise<Outcome<Value>>): Promise<Outcome<Value>> {
  const giveUpAt = performance.now() + busyForMs;
  for (;;) {
    const outcome = await call();
    if (outcome.ok || outcome.faults[0]?.code !== 'machine-busy' || performance.now() >= giveUpAt)
      return outcome;
    await wait(busyRetryMs);
  }
}
