/** Holds a seccomp profile against the calls that a process made. */
import type { ProfileCondition, ProfileData, ProfileRule } from '../../src/jail/seccomp.ts';
import type { TracedCall } from './traced-jail.ts';

/** Whether the filter's condition holds, as libseccomp compares: 64 bits, unsigned (seccomp_rule_add(3)). */
export function holds(
  { index, op, value, valueTwo = 0 }: ProfileCondition,
  args: readonly bigint[],
): boolean {
  const found = args[index] ?? 0n;
  switch (op) {
    case 'SCMP_CMP_EQ':
      return found === BigInt(value);
    case 'SCMP_CMP_MASKED_EQ':
      return (found & BigInt(value)) === BigInt(valueTwo);
    default:
      throw new TypeError(`${op}: not an operator that a profile of ours uses`);
  }
}

/** Whether the rule lets the call through. */
export function allows(rule: ProfileRule, args: readonly bigint[]): boolean {
  if (rule.errno !== undefined) return false;
  return rule.anyOf?.some((all) => all.every((condition) => holds(condition, args))) ?? true;
}

/** What the profile names, is not kept for a reason of its own, and none of the calls needed: a line each. */
export function unusedParts(profile: ProfileData, calls: readonly TracedCall[]): string[] {
  const made = Map.groupBy(calls, ({ name }) => name);
  return profile.groups
    .flatMap(({ rules }) => rules)
    .flatMap((rule) => {
      const times = made.get(rule.call) ?? [];
      if (rule.kept !== undefined) return [];
      if (times.length === 0) return [rule.call];
      return (rule.anyOf ?? [])
        .filter((all) => all.every(({ kept }) => kept === undefined))
        .filter((all) => !times.some(({ args }) => all.every((condition) => holds(condition, args))))
        .map((all) => `${rule.call} where ${all.map(({ reason }) => reason).join(' and ')}`);
    });
}

/** Calls that the profile refused, each name once, with the first arguments of it. */
export function refusedCalls(
  profile: ProfileData,
  calls: readonly TracedCall[],
): Map<string, readonly bigint[]> {
  const rules = new Map(profile.groups.flatMap((group) => group.rules).map((rule) => [rule.call, rule]));
  const refused = new Map<string, readonly bigint[]>();
  for (const { name, args } of calls) {
    const rule = rules.get(name);
    if ((rule === undefined || !allows(rule, args)) && !refused.has(name)) refused.set(name, args);
  }
  return refused;
}
