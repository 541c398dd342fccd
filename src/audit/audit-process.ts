/** Compares a live process with what its walls must be. Pure: the facts come from the broker. */
import type { ProcessFacts } from '../protocol/broker.ts';
import { hasNoGuest, type ExpectedWalls, type MachineWalls } from './expected-walls.ts';
import { listExposure, type ExposureOptions } from './exposure.ts';
import { parseState } from './process-state.ts';
import type { AuditReport, AuditRow } from './report.ts';
import { listWalls } from './wall-table.ts';

interface AuditInput extends ExposureOptions {
  readonly facts: ProcessFacts;
  /** When the facts were read, RFC 3339. */
  readonly at: string;
}

/** One of our machines against its plan. */
export function auditProcess(
  input: AuditInput & { readonly machine: string; readonly expected: MachineWalls },
): AuditReport {
  return report(input.machine, input.expected, input);
}

/** Any other QEMU process against what holds for every jailed one: the rows that differ are the walls it lacks. */
export function auditForeign(input: AuditInput): AuditReport {
  return report(null, null, input);
}

function report(machine: string | null, expected: ExpectedWalls, input: AuditInput): AuditReport {
  const state = parseState(input.facts);
  const rows = listWalls().map(({ wall, mandatory, describe, compare }): AuditRow => {
    const { found, verdict } = compare(state, expected);
    const must = typeof mandatory === 'function' ? mandatory(expected) : mandatory;
    // SECURITY: promise 5. A mandatory wall that is not there is a fault, whatever the reason.
    return {
      wall,
      expected: describe(expected),
      found,
      verdict: must && verdict === 'missing' ? 'differs' : verdict,
    };
  });
  return {
    machine,
    pid: input.facts.pid,
    at: input.at,
    ok: rows.every(({ verdict }) => verdict !== 'differs'),
    rows,
    exposure:
      expected !== null && hasNoGuest(expected.launch.program) ? [] : listExposure(state, input.at, input),
  };
}
