/** Holds the live process of a run against its plan. */
import { auditProcess } from '../audit/audit-process.ts';
import type { ExposureOptions } from '../audit/exposure.ts';
import { expectedWalls } from '../audit/expected-walls.ts';
import type { AuditReport } from '../audit/report.ts';
import type { ProcessFacts } from '../protocol/broker.ts';
import type { Run } from './lifecycle/run.ts';

export function auditRun(run: Run, facts: ProcessFacts, now: Date, known: ExposureOptions = {}): AuditReport {
  // What was planned counts where it is known: a file that was swapped before it was opened is found.
  const expected = expectedWalls(run.now, {
    files: run.openFiles,
    handedSockets: run.handed.inodes(),
  });
  return auditProcess({ ...known, machine: run.launched.machine, expected, facts, at: now.toISOString() });
}
