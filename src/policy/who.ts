/** Whether users and groups of the policy name a person. */
import type { Who } from './policy.ts';

export interface Person {
  /** Undefined where the system does not know the uid: it is in no group either. */
  readonly name: string | undefined;
  readonly isIn: (group: string) => boolean;
}

export function isOneOf({ users, groups }: Who, { name, isIn }: Person): boolean {
  return (name !== undefined && users.includes(name)) || groups.some(isIn);
}
