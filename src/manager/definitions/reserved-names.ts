/** Names of the broker's machines that are qward's own: no definition may have one. */
import { isJob } from '../disks/sweep-jobs.ts';
import { kvmProbeMachine } from '../facts/kvm-probe.ts';
import { isThrowawayName } from '../throwaway/throwaway-name.ts';

export function isReservedName(name: string): boolean {
  return name === kvmProbeMachine || isJob(name) || isThrowawayName(name);
}
