/** Capabilities that the broker can give: those of its own bounding set, which its service or container may have made smaller. */
import { readFileSync } from 'node:fs';
import type { Refusal } from '../protocol/broker.ts';
import { cureOfLack, lackingIn } from '../protocol/capability-names.ts';
import { relaxations, type LaunchRequest } from '../protocol/launch.ts';
import { refuse } from './context.ts';

/** As /proc/PID/status has it. */
export function ownBoundingSet(): string {
  return /^CapBnd:\s*(\w+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
}

/** Where a runtime could only say "Operation not permitted". */
export function refuseLacking(launch: LaunchRequest, unit: boolean): readonly Refusal[] {
  const lacking = lackingIn(ownBoundingSet(), relaxations(launch, 'capability'));
  return lacking === ''
    ? []
    : refuse(
        'wall-missing',
        `machine "${launch.machine}" is to have ${lacking}, which the broker cannot give: its own bounding set is without (CapBnd of /proc/${process.pid}/status)`,
        cureOfLack(lacking, unit),
      ).refusals;
}
