/** What the manager keeps about a machine beside its definition: NAME.json, version 2. Version 1 had no grants. */
import { grantableRights, type GrantableRight } from '../../api/contract.ts';
import { newerThan } from './newer.ts';

export interface Metadata {
  readonly version: 2;
  /** Uid of the user whose machine it is. */
  readonly owner: number;
  /** ISO 8601. */
  readonly definedAt: string;
  /** One entry for each user or group. */
  readonly grants: readonly Grant[];
}

/** Rights on the machine for a user or the members of a group. */
export interface Grant {
  readonly kind: 'user' | 'group';
  /** The uid or gid: what counts. */
  readonly id: number;
  /** Its name when it was granted: what is shown. */
  readonly name: string;
  readonly rights: readonly GrantableRight[];
}

export type ParsedMetadata =
  | { readonly ok: true; readonly metadata: Metadata }
  | { readonly ok: false; readonly reason: string; readonly cure?: string };

type Field = (name: string) => unknown;

export function parseMetadata(text: string): ParsedMetadata {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, reason: 'it is not JSON' };
  }
  if (typeof value !== 'object' || value === null) return { ok: false, reason: 'it is not an object' };
  const field = fieldsOf(value);
  const version = field('version');
  const newer = newerThan(version, 2);
  if (newer !== undefined) return { ok: false, ...newer };
  if (version !== 1 && version !== 2) return { ok: false, reason: 'it has no version' };
  const owner = field('owner');
  if (!isId(owner)) return { ok: false, reason: 'it has no owner' };
  const definedAt = field('definedAt');
  if (typeof definedAt !== 'string' || Number.isNaN(Date.parse(definedAt)))
    return { ok: false, reason: 'it has no time of definition' };
  const grants = version === 1 ? [] : parseGrants(field('grants'));
  if (grants === undefined) return { ok: false, reason: 'its grants are not whole' };
  return { ok: true, metadata: { version: 2, owner, definedAt, grants } };
}

const fieldsOf =
  (value: object): Field =>
  (name) =>
    Reflect.get(value, name);

const isId = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0;

function parseGrants(value: unknown): Grant[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const grants = value.map(parseGrant);
  return grants.every((grant) => grant !== undefined) ? grants : undefined;
}

function parseGrant(value: unknown): Grant | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const field = fieldsOf(value);
  const [kind, id, name, given] = [field('kind'), field('id'), field('name'), field('rights')];
  if ((kind !== 'user' && kind !== 'group') || !isId(id) || typeof name !== 'string' || !Array.isArray(given))
    return undefined;
  // SECURITY: promise 4. A right that cannot be granted is not read from a file either.
  const rights = grantableRights.filter((right) => given.includes(right));
  return rights.length === given.length && rights.length > 0 ? { kind, id, name, rights } : undefined;
}
