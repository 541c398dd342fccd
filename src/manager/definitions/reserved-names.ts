/** Names of the broker's machines that are qward's own: no definition may have one. */
import { diskJobPrefix } from '../../protocol/disk-job.ts';
import { kvmProbeMachine } from '../facts/kvm-probe.ts';

export function isReservedName(name: string): boolean {
  return name === kvmProbeMachine || name.startsWith(diskJobPrefix);
}
