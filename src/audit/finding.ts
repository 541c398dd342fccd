/** What a comparison found, and the verdict on it. */
import type { AuditRow } from './report.ts';
import { shown, shownList } from './shown.ts';

export type Finding = Pick<AuditRow, 'found' | 'verdict'>;

/** `ok` where there are no faults, else the faults. */
export function judge(found: string, faults: readonly string[]): Finding {
  return faults.length === 0
    ? { found: shown(found), verdict: 'ok' }
    : { found: shownList(faults), verdict: 'differs' };
}

/** The host cannot give the wall: only for walls that are not mandatory. */
export function missing(found: string): Finding {
  return { found: shown(found), verdict: 'missing' };
}
