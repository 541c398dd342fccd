import type { Machine } from '../lifecycle/machine.ts';
import type { Run } from '../lifecycle/run.ts';
import { failure, success, type Outcome } from '../outcome.ts';

/** The run of a machine that has a screen and a keyboard. */
export function screenOf({ run, name }: Machine): Outcome<Run> {
  if (run === undefined)
    return failure(
      'machine-not-running',
      `machine "${name}" does not run`,
      `start it (\`qward start ${name}\`)`,
    );
  if (!run.hasScreen)
    return failure(
      'request-invalid',
      `machine "${name}" has no screen`,
      'set `vnc: true` in its definition, and start it anew',
    );
  return success(run);
}
