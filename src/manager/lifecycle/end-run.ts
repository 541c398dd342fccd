/** The end of a process: how it ended, and removing what is left of it. */
import { limitsHit } from '../../linux/limits-hit.ts';
import type { BrokerPort } from '../broker-port.ts';
import type { Outcome } from '../outcome.ts';
import { whenNotBusy } from '../when-not-busy.ts';
import type { RunExit } from './machine-state.ts';
import { readQemuLog } from './qemu-log.ts';
import type { Ending, Run } from './run.ts';

/** The kernel tells how a process ended once its parent has reaped it, which is nobody's duty to do soon. */
const tellWithinMs = 2_000;
const keptLogLines = 20;

export async function endOfRun(
  run: Run,
  { witnessed, at }: { readonly witnessed: boolean; readonly at: string },
): Promise<RunExit> {
  const { lines } = await readQemuLog(run.launched.log, 0);
  const { ending, shutdown } = run;
  // Nobody waits for the exit status of what ended as it was asked to.
  const expected = isKill(ending) || shutdown !== undefined;
  const end = await run.process.end(expected ? 0 : tellWithinMs);
  const limits = limitsHit(run.launched.cgroup, run.killsBefore);
  return { ending, shutdown, end, witnessed, limits, log: lines.slice(-keptLogLines), at };
}

/** A kill has removed everything already. */
export function removeRemains(
  broker: BrokerPort,
  machine: string,
  ending: Ending,
): Promise<Outcome<unknown>> {
  if (isKill(ending)) return Promise.resolve({ ok: true, value: undefined });
  return whenNotBusy<unknown>(() => broker.call('reap', { machine }));
}

const isKill = (ending: Ending): boolean => ['kill', 'cut off', 'saved', 'moved'].includes(ending);

export function killRun(broker: BrokerPort, machine: string): Promise<Outcome<{ readonly killed: boolean }>> {
  return whenNotBusy(() => broker.call('kill', { machine }));
}
