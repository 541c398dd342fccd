/** What a drill says: each attempt to get out, what became of it, and what shows that it would have been noticed. */
import type { WallName } from '../../plan/launch-plan.ts';

export interface DrillRow {
  readonly probe: string;
  readonly wall: WallName;
  readonly attempt: string;
  /** inconclusive: nothing was shown, since the control failed or the prober ended in an unexpected way. */
  readonly verdict: 'blocked' | 'through' | 'inconclusive';
  /** `EPERM`, `killed by the seccomp filter`, `limit: EAGAIN`. */
  readonly how: string;
  /** What the same, or the nearest harmless thing, came to outside the jail. */
  readonly control: string;
}

export interface DrillReport {
  readonly machine: string;
  readonly at: string;
  /** Every probe was blocked, and every control stands. */
  readonly ok: boolean;
  readonly rows: readonly DrillRow[];
}
