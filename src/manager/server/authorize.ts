/** Whether this user may make this call. */
import type { Right } from '../../api/contract.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Machines } from '../machines.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { administratorsGroup, mayOnHost, mayOnMachine, operatorsGroup, type Identity } from '../roles.ts';

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
      `ask an administrator for membership of the group ${operatorsGroup} or ${administratorsGroup}`,
    );
  if (name === undefined) return authorizeHost(identity, right);
  const machine = machines.get(name);
  if (machine === undefined || !mayOnMachine(identity, 'see', machines.ownerOf(machine)))
    return failure(
      'machine-unknown',
      `there is no machine ${JSON.stringify(name)}`,
      '`qward list` shows which there are',
    );
  if (mayOnMachine(identity, right, machines.ownerOf(machine))) return success(machine);
  return failure(
    'not-allowed',
    `user ${identity.user} may not do that with machine "${name}": it needs the right "${right}"`,
    right === 'monitor' || right === 'define'
      ? `its owner and the group ${administratorsGroup} have it`
      : `the group ${operatorsGroup} has it`,
  );
}

/** `see` shows each user the own part of what there is; `define` is looked into by its handler, which knows the name. */
function authorizeHost(identity: Identity, right: Right): Outcome<undefined> {
  if (right === 'see' || right === 'define' || mayOnHost(identity, right)) return success(undefined);
  return failure(
    'not-allowed',
    `user ${identity.user} may not do that: it needs the right "${right}" on this host`,
    `the group ${administratorsGroup} has it`,
  );
}

export function hasRole(machines: Machines, identity: Identity): boolean {
  if (identity.administrator || identity.operator) return true;
  return machines.all().some((machine) => mayOnMachine(identity, 'see', machines.ownerOf(machine)));
}
