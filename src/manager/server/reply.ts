/** Faults as the API tells them. */
import { errorKinds, type ApiErrorBody, type ApiFault, type ErrorCode } from '../../api/errors.ts';
import type { Fault } from '../../definition/fault.ts';

export interface ErrorReply {
  readonly status: number;
  readonly body: ApiErrorBody;
}

/** The first fault decides on the status. A code that the registry does not have is a fault of ours. */
export function errorReply(faults: readonly Fault[]): ErrorReply {
  const told = faults.length > 0 ? faults.map(toApiFault) : [unknownFault];
  return { status: errorKinds[told[0]?.code ?? 'internal'].status, body: { faults: told } };
}

const unknownFault: ApiFault = {
  code: 'internal',
  message: 'it failed without a reason',
  hint: 'please report it, with the log of qward-manager',
};

function toApiFault(fault: Fault): ApiFault {
  return { ...fault, code: isErrorCode(fault.code) ? fault.code : 'internal' };
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorKinds, code);
}
