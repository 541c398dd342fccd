/** Keys pressed for a guest, one combination after the other, no faster than a guest reads them. */
import { setTimeout as wait } from 'node:timers/promises';
import type { KeyName } from '../../api/keys.ts';
import { commands } from '../../qmp/commands.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { screenOf } from './screen-of.ts';

export interface KeyPresses {
  readonly keys: readonly (readonly KeyName[])[];
  /** How long each combination is held. */
  readonly holdMs: number;
  /** The caller has gone. */
  readonly signal: AbortSignal;
}

export async function sendKeys(
  machine: Machine,
  { keys, holdMs, signal }: KeyPresses,
): Promise<Outcome<undefined>> {
  const shown = screenOf(machine);
  if (!shown.ok) return shown;
  for (const [index, combination] of keys.entries()) {
    if (signal.aborted)
      return failure('timed-out', `the caller went away after ${index} of ${keys.length} keys`, 'try again');
    const session = machine.session();
    if (!session.ok) return session;
    const sent = await commands.sendKey(session.value, { keys: combination, holdMs });
    if (!sent.ok)
      return failure(
        'monitor-failed',
        `machine "${machine.name}" took ${index} of ${keys.length} keys: ${sent.message}`,
        'try again',
      );
    // A PS/2 keyboard keeps 16 bytes, and QEMU drops what is more: the next are pressed once these were let go of.
    await wait(holdMs * 1.5);
  }
  return success(undefined);
}
