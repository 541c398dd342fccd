/** Who may do what. Everything that this table does not grant is refused. */
import type { Right } from '../api/contract.ts';

/** Who a connection is, read once from the kernel (SO_PEERCRED) and the system's account database. */
export interface Identity {
  readonly uid: number;
  readonly user: string;
  readonly administrator: boolean;
  readonly operator: boolean;
}

export type Role = 'administrator' | 'operator' | 'owner';

export const administratorsGroup = 'qward-admin';
export const operatorsGroup = 'qward-operators';

// SECURITY: promise 4. The rights of each role; what is not here is refused. `owner` counts on the own machines only.
export const rightsOfRole: Readonly<Record<Role, readonly Right[]>> = {
  administrator: ['see', 'operate', 'console', 'monitor', 'define', 'host'],
  operator: ['see', 'operate', 'console'],
  owner: ['see', 'operate', 'console', 'monitor', 'define'],
};

export interface Account {
  readonly name: string;
  readonly groups: readonly number[];
}

/** An account that the system does not know is still its uid. A group that does not exist has no members. */
export function identify(
  uid: number,
  account: Account | undefined,
  groupIdOf: (name: string) => number | undefined,
): Identity {
  const memberOf = (name: string): boolean => {
    const group = groupIdOf(name);
    return group !== undefined && account !== undefined && account.groups.includes(group);
  };
  return {
    uid,
    user: account?.name ?? String(uid),
    administrator: uid === 0 || memberOf(administratorsGroup),
    operator: memberOf(operatorsGroup),
  };
}

/** The right on one machine, by its owner's uid; a machine without an owner is the administrators' and operators'. */
export function mayOnMachine(identity: Identity, right: Right, owner: number | null): boolean {
  return rolesOn(identity, owner).some((role) => rightsOfRole[role].includes(right));
}

/** The right on the host as a whole: looking at other processes, defining a machine that does not exist yet. */
export function mayOnHost(identity: Identity, right: Right): boolean {
  return rolesOn(identity, null).some((role) => rightsOfRole[role].includes(right));
}

/** Defining a new machine is the administrators' until owners can prove which files are theirs. */
export function mayDefineNew(identity: Identity): boolean {
  return mayOnHost(identity, 'define');
}

function rolesOn(identity: Identity, owner: number | null): readonly Role[] {
  const roles: Role[] = [];
  if (identity.administrator) roles.push('administrator');
  if (identity.operator) roles.push('operator');
  if (owner !== null && owner === identity.uid) roles.push('owner');
  return roles;
}
