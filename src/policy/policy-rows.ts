/** The policy in force as rows, each with where it comes from. For people: neither broker nor admission uses it. */
import type { Policy } from './policy.ts';
import { positionOfRule, type PolicyLines } from './policy-lines.ts';

export interface PolicyRow {
  /** `ceilings.memory`, `storageRoots[1]`. */
  readonly key: string;
  readonly value: unknown;
  /** Line of the file; null: the default. */
  readonly line: number | null;
}

/** An item of a list is a row, and so is each key of a group of keys; a list without items is one row. */
export function policyRows(policy: Policy, lines: PolicyLines): readonly PolicyRow[] {
  return Object.entries(policy).flatMap(([key, value]: [string, unknown]) =>
    partsOf(key, value).map((part): PolicyRow => ({
      ...part,
      line: positionOfRule(lines, part.key)?.line ?? null,
    })),
  );
}

function partsOf(key: string, value: unknown): readonly Omit<PolicyRow, 'line'>[] {
  if (Array.isArray(value) && value.length > 0)
    return value.map((item: unknown, index) => ({ key: `${key}[${index}]`, value: withoutNulls(item) }));
  if (Array.isArray(value) || typeof value !== 'object' || value === null) return [{ key, value }];
  return Object.entries(value).map(([name, part]: [string, unknown]) => ({
    key: `${key}.${name}`,
    value: part,
  }));
}

/** `null` says that nothing was said. */
function withoutNulls(item: unknown): unknown {
  if (typeof item !== 'object' || item === null) return item;
  return Object.fromEntries(Object.entries(item).filter(([, part]) => part !== null));
}
