/** Rights on one machine for users and groups beside its owner: pure changes of a list. */
import type { GrantableRight } from '../api/contract.ts';
import { failure, success, type Outcome } from './outcome.ts';
import type { Grant } from './store/metadata.ts';

export type Grantee = Pick<Grant, 'kind' | 'id' | 'name'>;

const maxGrants = 64;

export function withGrant(
  grants: readonly Grant[],
  grantee: Grantee,
  rights: readonly GrantableRight[],
): Outcome<readonly Grant[]> {
  const before = grants.find((grant) => isFor(grant, grantee));
  const all = [...new Set([...(before?.rights ?? []), ...rights])].toSorted();
  const others = grants.filter((grant) => grant !== before);
  if (others.length >= maxGrants)
    return failure(
      'request-invalid',
      `more than ${maxGrants} users and groups with rights on one machine`,
      'make a group of them, and grant it to the group',
    );
  return success([...others, { ...grantee, rights: all }]);
}

/** Null rights: all of them. Undefined where there was nothing to take. */
export function withoutGrant(
  grants: readonly Grant[],
  grantee: Grantee,
  rights: readonly GrantableRight[] | null,
): readonly Grant[] | undefined {
  const before = grants.find((grant) => isFor(grant, grantee));
  if (before === undefined) return undefined;
  const left = rights === null ? [] : before.rights.filter((right) => !rights.includes(right));
  if (left.length === before.rights.length) return undefined;
  const others = grants.filter((grant) => grant !== before);
  return left.length === 0 ? others : [...others, { ...before, rights: left }];
}

/** As users write and read it. */
export function granteeText({ kind, name }: Grantee): string {
  return kind === 'group' ? `@${name}` : name;
}

const isFor = (grant: Grant, { kind, id }: Grantee): boolean => grant.kind === kind && grant.id === id;
