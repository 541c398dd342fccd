/** Whether this user may make this call. */
import { grantableRights, type Right } from '../../api/contract.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Machines } from '../machines.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { isThrowawayName } from '../throwaway/throwaway-name.ts';
import { hasHostRole, mayOnHost, type Identity } from '../roles.ts';

export interface AskedRight {
  readonly right: Right;
  /** The machine that the path names; undefined: the call is about none. */
  readonly name: string | undefined;
}

/** The named machine, where the user has the right. What a user may not see is not there. */
export function authorize(
  machines: Machines,
  identity: Identity,
  { right, name }: AskedRight,
): Outcome<Machine | undefined> {
  // SECURITY: promise 4. Who has no role is refused everything, alike whether what was named exists or not.
  if (!hasRole(machines, identity))
    return failure(
      'not-allowed',
      `user ${identity.user} has no rights here`,
      'ask the owner of a machine for rights on it (`qward grant`), or an administrator for a role',
    );
  if (name === undefined) return authorizeHost(identity, right);
  const machine = machines.get(name);
  if (machine === undefined || !machines.may(identity, 'see', machine))
    return failure(
      'machine-unknown',
      `there is no machine ${JSON.stringify(name)}`,
      '`qward list` shows which there are',
    );
  if (machines.may(identity, right, machine))
    return changesDefinition.includes(right) && isThrowawayName(name) ? thrownAway(name) : success(machine);
  return failure(
    'not-allowed',
    `user ${identity.user} may not do that with machine "${name}": it needs the right "${right}"`,
    hintFor(right, name),
  );
}

/** What would keep something of a machine that nothing is kept of. */
const changesDefinition: readonly Right[] = ['define', 'grant', 'transfer'];

const thrownAway = (name: string): Outcome<never> =>
  failure(
    'request-invalid',
    `machine "${name}" is a throwaway machine: it lasts as long as its \`qward run\``,
    `end it with \`qward kill ${name}\`, or define a machine of your own`,
  );

function hintFor(right: Right, name: string): string {
  if (grantableRights.some((grantable) => grantable === right))
    return `its owner can grant it: \`qward grant ${name} USER ${right}\``;
  return right === 'transfer' ? 'administrators have it' : 'its owner and administrators have it';
}

/** `see` shows each user the own part of what there is; `define` and `disk` are looked into by their handlers. */
function authorizeHost(identity: Identity, right: Right): Outcome<undefined> {
  if (right === 'see' || right === 'define' || right === 'disk' || mayOnHost(identity, right))
    return success(undefined);
  return failure(
    'not-allowed',
    `user ${identity.user} may not do that: it needs the right "${right}" on this host`,
    'administrators have it',
  );
}

export function hasRole(machines: Machines, identity: Identity): boolean {
  return hasHostRole(identity) || machines.all().some((machine) => machines.may(identity, 'see', machine));
}
