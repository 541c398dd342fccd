/** What an audit says: each wall with what was expected and found on the live process, and the exposure beside it. */
import type { WallName } from '../plan/launch-plan.ts';

export interface AuditRow {
  readonly wall: WallName;
  readonly expected: string;
  readonly found: string;
  /** `missing`: this host cannot give the wall, and the plan said so. */
  readonly verdict: 'ok' | 'differs' | 'missing';
}

export interface ExposureRow {
  readonly subject: string;
  readonly found: string;
  readonly note: string;
}

export interface AuditReport {
  /** Null for a QEMU process that is not qward's. */
  readonly machine: string | null;
  readonly pid: number;
  readonly at: string;
  readonly ok: boolean;
  readonly rows: readonly AuditRow[];
  readonly exposure: readonly ExposureRow[];
  /** Of the network helpers beside it, `machine` then naming the card too; `ok` is of all of them. */
  readonly helpers?: readonly AuditReport[];
}

/** For a person, in one line: the walls that are not as planned. */
export function differingWalls({ rows }: AuditReport): string {
  return rows
    .filter(({ verdict }) => verdict === 'differs')
    .map(({ wall, expected, found }) => `${wall}: expected ${expected}, found ${found}`)
    .join('; ');
}
