/** Whether a machine that ended is started again by itself, and when. Pure. */
import type { MachineDefinition } from '../../definition/schema.ts';

export type RestartRules = Pick<MachineDefinition, 'onCrash' | 'onPowerOff' | 'restart'>;

/**
 * What ended the run. crash: QEMU's own, the guest's panic, or a restart that did not come to run; power-off: the guest's own
 * will; other: a user's, qward's or the host's, a reboot that ends the machine, and all that is not known.
 */
export type EndCause = 'crash' | 'power-off' | 'other';

export type RestartDecision =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'restart';
      readonly afterMs: number;
      /** This is the `attempt`th of `of` within `restart.within`, from 1 on. */
      readonly attempt: number;
      readonly of: number;
    }
  | { readonly kind: 'give-up'; readonly restarts: number; readonly withinMs: number };

/** What is left of `restarts` (ms since the epoch) when it is `now`. A clock that was set back makes none younger than now. */
export function restartsWithin(
  restarts: readonly number[],
  withinMs: number,
  now: number,
): readonly number[] {
  return restarts.map((at) => Math.min(at, now)).filter((at) => now - at < withinMs);
}

/** `restarts`: when it was restarted by itself before, ms since the epoch. */
export function decideRestart(
  cause: EndCause,
  { onCrash, onPowerOff, restart }: RestartRules,
  { restarts, now }: { readonly restarts: readonly number[]; readonly now: number },
): RestartDecision {
  const wanted =
    (cause === 'crash' && onCrash === 'restart') || (cause === 'power-off' && onPowerOff === 'restart');
  if (!wanted) return { kind: 'none' };
  const { delay, maxDelay, attempts, within } = restart;
  const before = restartsWithin(restarts, within, now).length;
  if (before >= attempts) return { kind: 'give-up', restarts: before, withinMs: within };
  // Beyond 2^30 times any wait is the longest.
  const afterMs = Math.min(maxDelay, delay * 2 ** Math.min(before, 30));
  return { kind: 'restart', afterMs, attempt: before + 1, of: attempts };
}
