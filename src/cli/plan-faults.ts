/** Faults of a plan carry codes as plain text; those of the registry are the ones that have exit statuses. */
import { errorKinds, type ErrorCode } from '../api/errors.ts';
import type { CommandFault } from './command.ts';

const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(errorKinds, code);

interface PlanFault {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly line?: number;
  readonly column?: number;
  readonly rule?: string;
  readonly ruleAt?: string;
}

export function asFaults(faults: readonly PlanFault[]): readonly CommandFault[] {
  return faults.map(({ code, ...fault }) => (isErrorCode(code) ? { code, ...fault } : fault));
}
