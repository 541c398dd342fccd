/** What is said of what the policy does not give: each sentence once, for admission, claims and openings. */
import type { Refusal } from '../protocol/broker.ts';
import { policyFile } from './policy.ts';

/** `rule`: the key of the policy that decides, or a name of protocol/rules.ts. */
export function policyRefusal(message: string, hint: string, rule?: string): Refusal {
  return { code: 'policy-refused', message, hint, ...(rule === undefined ? {} : { rule }) };
}

/** `what`: the thing, and of what kind it is not: `/dev/sda is not a device`. */
export function unlisted(what: string, key: string): Refusal {
  return policyRefusal(`${what} that the policy lists`, `add it to ${key} in ${policyFile}`, key);
}

export function unlistedBlockDevice(path: string): Refusal {
  return unlisted(`"${path}" is not a block device`, 'blockDevices');
}

export function notPlain(path: string): Refusal {
  const message = `${JSON.stringify(path)} is not an absolute path without "." and ".." parts`;
  return policyRefusal(message, 'write the plain path', 'plain-paths');
}

export function forCertainUsers(path: string, cure: string, rule?: string): Refusal {
  return policyRefusal(`"${path}" is for the machines of certain users`, `${cure} in ${policyFile}`, rule);
}

export function noOwnFiles(path: string, user: string): Refusal {
  const message = `"${path}": users may not give files of their own to machines`;
  const hint = `set ownerClaims, or name ${user} in "who" of a storage root, in ${policyFile}`;
  return policyRefusal(message, hint, 'ownerClaims');
}
