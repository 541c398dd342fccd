/** What a drill says: each attempt to get out, what became of it, and what shows that it would have been noticed. */
import type { WallName } from '../../plan/launch-plan.ts';

export interface DrillRow {
  readonly probe: string;
  readonly wall: WallName;
  readonly attempt: string;
  /**
   * inconclusive: nothing was shown, since the control failed or the prober ended in an unexpected way. missing: it came through
   * where this instance has no wall, as the audit says too. opened: it came through as a relaxation of the machine has it.
   */
  readonly verdict: 'blocked' | 'opened' | 'through' | 'inconclusive' | 'missing';
  /** `EPERM`, `killed by the seccomp filter`, `limit: EAGAIN`. */
  readonly how: string;
  /** What the same, or the nearest harmless thing, came to outside the jail. */
  readonly control: string;
}

export interface DrillReport {
  readonly machine: string;
  readonly at: string;
  /** Every probe was blocked, but where there is no wall or one gave way on purpose, and every control stands. */
  readonly ok: boolean;
  readonly rows: readonly DrillRow[];
}
