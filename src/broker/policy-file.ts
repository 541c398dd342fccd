/** Reads the administrator's policy, and only where nobody else can have written it. */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { defaultPolicy, parsePolicy, type Policy } from '../policy/policy.ts';
import type { Refusal } from '../protocol/broker.ts';
import { errorCode } from './files.ts';

const maxPolicyBytes = 1024 * 1024;

type Outcome =
  | { readonly ok: true; readonly policy: Policy }
  | { readonly ok: false; readonly refusals: readonly Refusal[] };

/** A missing file means the defaults. A faulty one refuses everything that needs a policy. */
export function readPolicyFile(path: string): Outcome {
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
    return outcome.ok ? outcome : faulty(outcome.faults.map((fault) => `${path}: ${fault}`));
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
