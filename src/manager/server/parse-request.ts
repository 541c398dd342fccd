/** The parts of a request against the contract's schemas: every fault at once. */
import type { z } from 'zod';
import type { Route } from '../../api/contract.ts';
import type { Fault } from '../../definition/fault.ts';
import { capText } from '../log.ts';
import { success, type Outcome } from '../outcome.ts';

export interface RawRequest {
  readonly params: unknown;
  readonly query: unknown;
  readonly body: unknown;
}

const parts = ['params', 'query', 'body'] as const;

/** Each part parsed; undefined where the contract has none. */
export function parseRequest(route: Route, raw: RawRequest): Outcome<RawRequest> {
  const faults: Fault[] = [];
  const parsed: { -readonly [Part in keyof RawRequest]: unknown } = {
    params: undefined,
    query: undefined,
    body: undefined,
  };
  for (const part of parts) {
    const schema = route[part];
    if (schema === undefined) {
      if (!isEmpty(raw[part])) faults.push(unexpectedPart(part));
    } else {
      const result = schema.safeParse(raw[part]);
      if (result.success) parsed[part] = result.data;
      else faults.push(...result.error.issues.map((issue) => toFault(part, issue)));
    }
  }
  return faults.length === 0 ? success(parsed) : { ok: false, faults };
}

function isEmpty(value: unknown): boolean {
  return (
    value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0)
  );
}

function unexpectedPart(part: string): Fault {
  return { code: 'request-invalid', message: `this call takes no ${part}`, hint: 'see docs/api.md' };
}

function toFault(part: string, issue: z.core.$ZodIssue): Fault {
  const path = issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step));
  const place = capText([part, ...path].join('.'), 200);
  return {
    code: 'request-invalid',
    message: `${place}: ${capText(issue.message, 300)}`,
    hint: 'see docs/api.md, or /openapi.json',
    path,
  };
}
