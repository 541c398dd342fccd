/** How far the definition of a machine counts for others as the host goes down: its limit, and what it makes wait. */
import type { Ordered } from './shutdown-order.ts';

/** Of a machine: the uid of its owner, null: nobody's; and whether that is an administrator. */
export interface Owned extends Ordered {
  readonly owner: number | null;
  readonly administrators: boolean;
}

/**
 * SECURITY: promise 4. A day of `stop.timeout` is an owner's to write, and no owner keeps the host from going down for a day: in
 * ms from the beginning on, what machines of users who are no administrators have together.
 */
export const ownersHaveMs = 5 * 60_000;

/** Without what makes a machine of another owner wait; administrators may. */
export function withinOwners(machines: readonly Owned[]): readonly Ordered[] {
  const owners = new Map(machines.map(({ name, owner }) => [name, owner]));
  return machines.map(({ name, after, owner, administrators }) => ({
    name,
    after: administrators ? after : after.filter((other) => owners.get(other) === owner),
  }));
}

/** `passedMs`: since the host began to go down. */
export function limitOf(timeoutMs: number, administrators: boolean, passedMs: number): number {
  return administrators ? timeoutMs : Math.max(0, Math.min(timeoutMs, ownersHaveMs - passedMs));
}
