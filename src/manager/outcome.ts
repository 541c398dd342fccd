/** How expected outcomes travel through the manager: a value, or every fault that stands in the way. */
import type { ErrorCode } from '../api/errors.ts';
import type { Fault } from '../definition/fault.ts';

export type Outcome<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly faults: readonly Fault[] };

export type Failed = Extract<Outcome<never>, { readonly ok: false }>;

export function success<Value>(value: Value): Outcome<Value> {
  return { ok: true, value };
}

/** One fault as an outcome; `code` is one of the registry. */
export function failure(
  code: ErrorCode,
  message: string,
  hint: string,
): { readonly ok: false; readonly faults: readonly Fault[] } {
  return { ok: false, faults: [{ code, message, hint }] };
}
