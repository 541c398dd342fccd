/**
 * The policy as the manager sees it: read from the administrator's file by itself, as the broker does, and again whenever
 * the file changed, so that a change takes effect at the next request.
 */
import { lstatSync } from 'node:fs';
import type { Fault } from '../definition/fault.ts';
import { nearest } from '../definition/suggest.ts';
import { readOwnFile } from '../linux/own-file.ts';
import { defaultPolicy, policyFile, type Policy } from '../policy/policy.ts';
import { findLines, ruleText, type PolicyLines } from '../policy/policy-lines.ts';
import type { PolicyFault } from '../policy/parse-policy.ts';
import { maxPolicyBytes, readPolicy } from '../policy/read-policy.ts';
import { success, type Outcome } from './outcome.ts';

export interface PolicySource {
  readonly path: string;
  /**
   * The policy as the file has it now, the same object until that changes; while the file is faulty, its faults: nothing is
   * admitted. Costs a stat.
   */
  readonly current: () => Outcome<Policy>;
  /**
   * For what admits nothing (who may see and stop machines): the policy of now; while the file is faulty the last one that
   * was not. A manager that has read none since it began gives no role to anybody but root and the owners.
   */
  readonly roles: () => Policy;
  /** What the file says, as it was read; undefined where there is none, or where it is not to be read. */
  readonly text: () => string | undefined;
  /** The fault with the place of its rule, where it has one: `/etc/qward/policy.json line 12 (storageRoots[1])`. */
  readonly placed: (fault: Fault) => Fault;
  /** Hints name the file where it lies by default: here they name that of this instance. */
  readonly named: (hint: string) => string;
}

/** Roles while no policy could be read: a group without a name has no members. */
export const closedPolicy: Policy = {
  ...defaultPolicy,
  groups: { operators: '', administrators: '' },
  operate: 'granted',
  ownerClaims: false,
};

/** `own` are qward's directories, which no storage root may reach. */
export function createPolicySource(path: string, own: readonly string[]): PolicySource {
  let stamp = '';
  let state = read(path, own);
  let lastGood = closedPolicy;
  const now = (): State => {
    const seen = stampOf(path);
    if (seen !== stamp || seen === unsettled) {
      const found = read(path, own);
      // Touched and not changed: who keeps things by the policy goes on with the same one.
      if (!found.policy.ok || found.text !== state.text || !state.policy.ok) state = found;
      stamp = seen;
    }
    if (state.policy.ok) lastGood = state.policy.value;
    return state;
  };
  const named = (hint: string): string => hint.replaceAll(policyFile, path);
  return {
    path,
    current: () => now().policy,
    roles: () => {
      const { policy } = now();
      return policy.ok ? policy.value : lastGood;
    },
    text: () => now().text,
    named,
    placed: (fault) => {
      const hint = named(fault.hint);
      if (fault.rule === undefined) return { ...fault, hint };
      const { text } = now();
      return { ...fault, hint, ruleAt: ruleText(path, (state.lines ??= findLines(text ?? '')), fault.rule) };
    },
  };
}

/** A session has no file that says what is allowed: the user's own rights are the bound. */
export function createSessionPolicySource(policy: Policy): PolicySource {
  const current = success(policy);
  const path = 'the built-in policy of the session';
  const named = (hint: string): string => hint.replaceAll(policyFile, path);
  return {
    path,
    current: () => current,
    roles: () => policy,
    text: () => undefined,
    named,
    placed: (fault) => ({ ...fault, hint: named(fault.hint) }),
  };
}

interface State {
  readonly policy: Outcome<Policy>;
  readonly text: string | undefined;
  /** Found when they are first asked for. */
  lines?: PolicyLines;
}

function read(path: string, own: readonly string[]): State {
  const file = readOwnFile(path, maxPolicyBytes);
  const outcome = readPolicy(path, file, own, meant);
  const policy = outcome.ok ? success(outcome.policy) : { ok: false as const, faults: outcome.refusals };
  return { policy, text: file.ok ? file.text : undefined };
}

function meant({ key, known = [] }: PolicyFault): string | undefined {
  const word = nearest(key.slice(key.lastIndexOf('.') + 1), known);
  return word === undefined ? undefined : `did you mean "${word}"?`;
}

const unsettled = 'unsettled';
/** A file that changed less than this ago may change again within the grain of its time stamps. */
const grainMs = 50;

/** Differs whenever the file may. */
function stampOf(path: string): string {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return 'none';
  const { dev, ino, size, mtimeMs, ctimeMs, uid, mode } = stats;
  // The clock of stamps is the system's own: one that was set back makes the file be read again, nothing worse.
  if (Math.abs(Date.now() - ctimeMs) < grainMs) return unsettled;
  return [dev, ino, size, mtimeMs, ctimeMs, uid, mode].join(' ');
}
