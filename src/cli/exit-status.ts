/** Exit statuses of the CLI. 0 to 5 are common to all commands; `status` has its own from 10 on. */
import { errorKinds } from '../api/errors.ts';
import type { CommandFault } from './command.ts';

export const exitStatus = {
  done: 0,
  failed: 1,
  usage: 2,
  notFound: 3,
  refused: 4,
  unreachable: 5,
  stopped: 10,
  crashed: 11,
  machineUnreachable: 12,
  between: 13,
} as const;

/** What the common statuses mean, for help and documentation. */
export const exitMeanings: Readonly<Record<number, string>> = {
  0: 'done',
  1: 'failed',
  2: 'usage, or a wrong definition',
  3: 'no such machine',
  4: 'refused by policy, or a right is missing',
  5: 'the manager does not answer',
};

/** From good to bad: of several results the worst is the exit status. */
const order: readonly number[] = [0, 13, 10, 11, 12, 3, 2, 4, 1, 5];

export function worstExit(statuses: readonly number[]): number {
  return statuses.reduce((worst, one) => (order.indexOf(one) > order.indexOf(worst) ? one : worst), 0);
}

export function exitOfFaults(faults: readonly CommandFault[]): number {
  return worstExit(faults.map(({ code }) => (code === undefined ? 1 : (errorKinds[code]?.exit ?? 1))));
}
