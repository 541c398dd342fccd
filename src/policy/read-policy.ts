/** From the policy's file, as it was read, to the policy: the same for the broker and for the manager. */
import type { Refusal } from '../protocol/broker.ts';
import { parsePolicy, type PolicyFault } from './parse-policy.ts';
import { defaultPolicy, rootsAround, type Policy } from './policy.ts';

export const maxPolicyBytes = 1024 * 1024;

/** As linux/own-file.ts gives it. */
export type PolicyText =
  | { readonly ok: true; readonly text: string | undefined }
  | { readonly ok: false; readonly faults: readonly { readonly message: string; readonly cure: string }[] };

export type PolicyRead =
  | { readonly ok: true; readonly policy: Policy }
  | { readonly ok: false; readonly refusals: readonly Refusal[] };

/**
 * A missing file means the defaults. A faulty one refuses everything that needs a policy. `own` are qward's directories;
 * `meant` finds the hint for a fault.
 */
export function readPolicy(
  path: string,
  file: PolicyText,
  own: readonly string[],
  meant?: (fault: PolicyFault) => string | undefined,
): PolicyRead {
  if (!file.ok)
    return faulty(file.faults.map(({ message, cure }) => ({ message: `${path}: ${message}`, hint: cure })));
  if (file.text === undefined) return { ok: true, policy: defaultPolicy };
  const outcome = judgePolicy(file.text, own);
  return outcome.ok ? outcome : faulty(outcome.faults.map((fault) => refusalOf(path, fault, meant?.(fault))));
}

/** What `text` says, and whether its places are any that machines may have. */
export function judgePolicy(text: string, own: readonly string[]): ReturnType<typeof parsePolicy> {
  const outcome = parsePolicy(text);
  // SECURITY: promise 1. No disk is a way into qward's own state.
  const faults = outcome.ok ? rootsAround(outcome.policy, own) : outcome.faults;
  return faults.length === 0 ? outcome : { ok: false, faults };
}

const mend = 'mend it: `qward policy check` shows the lines; nothing is started until it can be read';

function refusalOf(path: string, { key, message, known }: PolicyFault, hint = mend): Omit<Refusal, 'code'> {
  const text = known === undefined ? message : `${message}; there are ${known.join(', ')}`;
  if (key === '') return { message: `${path}: ${text}`, hint };
  return { message: `${path}: ${key}: ${text}`, hint, rule: key };
}

function faulty(faults: readonly Omit<Refusal, 'code'>[]): PolicyRead {
  return { ok: false, refusals: faults.map((fault) => ({ code: 'policy-refused', ...fault })) };
}
