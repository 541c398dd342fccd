/** Who may say what is the administrators' alone, each over a connection of their own. */
import { refuse, type BrokerContext, type HandlerOutcome } from './context.ts';
import { personOf } from './person.ts';

/**
 * Undefined for administrators; `what` they do. The manager's user is none of them, whatever group it is in.
 * SECURITY: promise 4. `uid` is the kernel's word for who is connected.
 */
export function refuseOthers(context: BrokerContext, uid: number, what: string): HandlerOutcome | undefined {
  const read = context.readPolicy();
  if (!read.ok) return read;
  const { administrators } = read.policy.groups;
  const { session } = read.policy;
  if ([0, session].includes(uid)) return undefined;
  if (uid !== context.managerUid && personOf(uid).isIn(administrators)) return undefined;
  return refuse(
    'not-allowed',
    `only administrators ${what}`,
    `ask root, or a member of the group ${administrators}`,
    'groups.administrators',
  );
}
