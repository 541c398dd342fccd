/** The one thing that callers of `run` catch; apart from what opens a stream, which is loaded with the first one. */
import type { ApiFault } from '../errors.ts';

/** Why a machine did not come up: what was refused, with the rule and the cure. */
export class RunFault extends Error {
  readonly faults: readonly ApiFault[];

  constructor(message: string, faults: readonly ApiFault[]) {
    super(message);
    this.name = 'RunFault';
    this.faults = faults;
  }
}
