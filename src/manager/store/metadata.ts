/** What the manager keeps about a machine beside its definition: NAME.json, version 1. */
export interface Metadata {
  readonly version: 1;
  /** Uid of the user who defined it. */
  readonly owner: number;
  /** ISO 8601. */
  readonly definedAt: string;
}

export type ParsedMetadata =
  | { readonly ok: true; readonly metadata: Metadata }
  | { readonly ok: false; readonly reason: string };

export function parseMetadata(text: string): ParsedMetadata {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, reason: 'it is not JSON' };
  }
  if (typeof value !== 'object' || value === null) return { ok: false, reason: 'it is not an object' };
  const field = (name: string): unknown => Reflect.get(value, name);
  const version = field('version');
  if (version !== 1)
    return { ok: false, reason: `its version is ${JSON.stringify(version)}, this qward knows version 1` };
  const owner = field('owner');
  if (typeof owner !== 'number' || !Number.isInteger(owner) || owner < 0)
    return { ok: false, reason: 'it has no owner' };
  const definedAt = field('definedAt');
  if (typeof definedAt !== 'string' || Number.isNaN(Date.parse(definedAt)))
    return { ok: false, reason: 'it has no time of definition' };
  return { ok: true, metadata: { version: 1, owner, definedAt } };
}
