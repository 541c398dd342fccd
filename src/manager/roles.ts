/** Who may do what. Everything that these tables do not grant is refused. */
import { rights, type Right } from '../api/contract.ts';
import type { Policy } from '../policy/policy.ts';
import { isOneOf } from '../policy/who.ts';
import type { Grant } from './store/metadata.ts';

/** Who a connection is: by the kernel (SO_PEERCRED), the system's account database, and the policy. */
export interface Identity {
  readonly uid: number;
  readonly user: string;
  /** Process that made the connection; null: not known. */
  readonly pid: number | null;
  /** Group ids that the account database gives the user. */
  readonly groups: readonly number[];
  readonly administrator: boolean;
  readonly operator: boolean;
  /** Whether the operator's rights hold on every machine. */
  readonly operatesAll: boolean;
  /** Whether the user may define machines, and owns them then. */
  readonly definer: boolean;
}

export type Role = 'administrator' | 'operator' | 'owner';

// SECURITY: promise 4. The rights of each role; what is not here is refused. `owner` counts on the own machines only.
export const rightsOfRole: Readonly<Record<Role, readonly Right[]>> = {
  administrator: rights,
  operator: ['see', 'operate', 'console'],
  owner: ['see', 'operate', 'console', 'guest', 'monitor', 'define', 'grant', 'history'],
};

export interface Account {
  readonly name: string;
  readonly groups: readonly number[];
}

/** What counts on one machine: whose it is (null: nobody's), and to whom rights on it were granted. */
export interface Access {
  readonly owner: number | null;
  readonly grants: readonly Grant[];
}

export interface Caller {
  readonly uid: number;
  readonly pid: number | null;
  /** Undefined where the system does not know the uid: it is still itself, and in no group. */
  readonly account: Account | undefined;
}

type RolePolicy = Pick<Policy, 'groups' | 'operate' | 'define' | 'session'>;

/** A group that does not exist has no members. */
export function identify(
  { uid, pid, account }: Caller,
  policy: RolePolicy,
  groupIdOf: (name: string) => number | undefined,
): Identity {
  const groups = account?.groups ?? [];
  const memberOf = (name: string): boolean => {
    const group = name === '' ? undefined : groupIdOf(name);
    return group !== undefined && groups.includes(group);
  };
  const administrator = uid === 0 || uid === policy.session || memberOf(policy.groups.administrators);
  const operator = memberOf(policy.groups.operators);
  return {
    uid,
    user: account?.name ?? String(uid),
    pid,
    groups,
    administrator,
    operator,
    operatesAll: operator && policy.operate === 'all',
    definer: administrator || isOneOf(policy.define, { name: account?.name, isIn: memberOf }),
  };
}

/** The right on one machine: by a role, or by a grant to the user or to a group of the user's. */
export function mayOnMachine(identity: Identity, right: Right, access: Access): boolean {
  return (
    rolesOn(identity, access.owner).some((role) => rightsOfRole[role].includes(right)) ||
    access.grants.some((grant) => isFor(grant, identity) && grantGives(grant, right))
  );
}

/** The right on the host as a whole: looking at other processes, giving machines away. */
export function mayOnHost(identity: Identity, right: Right): boolean {
  return rolesOn(identity, null).some((role) => rightsOfRole[role].includes(right));
}

/** Whether every machine is visible, whoever's it is. */
export function seesAll(identity: Identity): boolean {
  return mayOnHost(identity, 'see');
}

/** Whether somebody with no machine in sight has anything to ask for here. */
export function hasHostRole(identity: Identity): boolean {
  return identity.administrator || identity.operator || identity.definer;
}

/** In a word, for the user. `owns`: one machine at least. */
export function roleName(identity: Identity, owns: boolean): string {
  if (identity.administrator) return 'administrator';
  if (identity.operator) return 'operator';
  return owns || identity.definer ? 'owner' : 'grantee';
}

/** Any right on a machine lets it be seen. */
function grantGives(grant: Grant, right: Right): boolean {
  return right === 'see' || grant.rights.some((granted) => granted === right);
}

function isFor({ kind, id }: Grant, identity: Identity): boolean {
  return kind === 'user' ? id === identity.uid : identity.groups.includes(id);
}

function rolesOn(identity: Identity, owner: number | null): readonly Role[] {
  const roles: Role[] = [];
  if (identity.administrator) roles.push('administrator');
  if (identity.operatesAll) roles.push('operator');
  if (owner !== null && owner === identity.uid) roles.push('owner');
  return roles;
}
