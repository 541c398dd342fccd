/** Reads the administrator's policy, and only where nobody else can have written it. */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { defaultPolicy, parsePolicy, rootsAround, type Policy } from '../policy/policy.ts';
import type { Refusal } from '../protocol/broker.ts';
import { errorCode } from './files.ts';

const maxPolicyBytes = 1024 * 1024;

type Outcome =
  | { readonly ok: true; readonly policy: Policy }
  | { readonly ok: false; readonly refusals: readonly Refusal[] };

/** A missing file means the defaults. A faulty one refuses everything that needs a policy. `own` are qward's directories. */
export function readPolicyFile(path: string, own: readonly string[]): Outcome {
  let fd: number;
  try {
    // SECURITY: promise 1. A link is not followed.
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return { ok: true, policy: defaultPolicy };
    return faulty([`${path}: cannot be opened (${errorCode(error)}); a plain file of root expected`]);
  }
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile()) return faulty([`${path}: not a regular file`]);
    if (stats.uid !== 0) return faulty([`${path}: belongs to uid ${stats.uid}; root expected`]);
    if ((stats.mode & 0o022) !== 0)
      return faulty([`${path}: others than root can write it; mode 0644 expected`]);
    if (stats.size > maxPolicyBytes) return faulty([`${path}: larger than ${maxPolicyBytes} bytes`]);
    const outcome = parsePolicy(readFileSync(fd, 'utf8'));
    if (!outcome.ok) return faulty(outcome.faults.map((fault) => `${path}: ${fault}`));
    // SECURITY: promise 1. No disk is a way into qward's own state.
    const around = rootsAround(outcome.policy, own);
    if (around.length === 0) return outcome;
    return faulty(
      around.map((root) => `${path}: storageRoots: ${root} holds, or lies in, a directory of qward's own`),
    );
  } finally {
    closeSync(fd);
  }
}

function faulty(messages: readonly string[]): Outcome {
  return {
    ok: false,
    refusals: messages.map((message) => ({
      code: 'policy-refused',
      message,
      hint: 'mend the policy; nothing is started until it can be read',
    })),
  };
}
