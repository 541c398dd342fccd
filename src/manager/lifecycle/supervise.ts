/** Watching over a running QEMU: its events, its silence, its end. */
import type { QmpEvent } from '../../qmp/events.ts';
import type { Run } from './run.ts';
import { pause } from '../pause.ts';

export interface Supervisor {
  readonly onEvent: (event: QmpEvent) => void;
  /** The monitor does not answer, with the reason; the process lives. */
  readonly onUnreachable: (message: string) => void;
  /** The monitor answers again. */
  readonly onReachable: () => void;
}

/** A QEMU that closes its monitor is nearly always about to end. */
const endGraceMs = 1000;
const firstRetryMs = 100;
const lastRetryMs = 5_000;

/** Returns when the process is gone, or when the run is released. */
export async function superviseRun(run: Run, supervisor: Supervisor): Promise<void> {
  while (!run.released.aborted) {
    const { session } = run;
    if (session !== undefined) {
      for await (const { event } of session.events) supervisor.onEvent(event);
      run.session = undefined;
    }
    if (run.released.aborted || (await run.process.gone(endGraceMs))) return;
    supervisor.onUnreachable(session?.endReason?.message ?? 'the monitor was never reached');
    if (!(await reconnect(run))) return;
    supervisor.onReachable();
  }
}

/** False where the process ended, or the run was released, before the monitor answered. */
async function reconnect(run: Run): Promise<boolean> {
  for (let delayMs = firstRetryMs; !run.released.aborted; delayMs = Math.min(2 * delayMs, lastRetryMs)) {
    const connected = await run.connect(run.released);
    if (connected.ok) return true;
    if (await run.process.gone(0)) return false;
    // Nothing tells when a QEMU that hangs comes back to its senses.
    await pause(delayMs, run.released);
  }
  return false;
}
