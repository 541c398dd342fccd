/** Holds a seccomp profile against the kernel's table of calls: a misspelt name would silently allow nothing. */
import x86 from '../../resources/seccomp/x86_64.json' with { type: 'json' };
import { profileErrnos, type ProfileCondition, type ProfileData, type ProfileRule } from './seccomp.ts';

/** Number of each system call of x86-64. */
export const syscallNumbers: ReadonlyMap<string, number> = new Map(Object.entries(x86.calls));

const operators: ReadonlySet<string> = new Set([
  'SCMP_CMP_EQ',
  'SCMP_CMP_NE',
  'SCMP_CMP_LT',
  'SCMP_CMP_LE',
  'SCMP_CMP_GE',
  'SCMP_CMP_GT',
  'SCMP_CMP_MASKED_EQ',
]);

/** What is wrong with a profile, a sentence each; none for a good one. */
export function seccompFaults(profile: ProfileData): readonly string[] {
  const rules = profile.groups.flatMap((group) => group.rules);
  const seen = new Set<string>();
  const faults: string[] = [];
  if (rules.length === 0) faults.push('the profile allows nothing: at least one rule expected');
  for (const architecture of profile.architectures) {
    if (architecture !== 'SCMP_ARCH_X86_64')
      faults.push(`architecture ${architecture}: only SCMP_ARCH_X86_64 expected`);
  }
  if (profile.architectures.length === 0) faults.push('no architecture: SCMP_ARCH_X86_64 expected');
  for (const rule of rules) {
    if (seen.has(rule.call)) faults.push(`${rule.call}: named twice; join the rules with anyOf`);
    seen.add(rule.call);
    faults.push(...ruleFaults(rule));
  }
  return faults;
}

function ruleFaults(rule: ProfileRule): string[] {
  const faults: string[] = [];
  if (!syscallNumbers.has(rule.call)) faults.push(`${rule.call}: x86-64 has no such system call`);
  if (rule.reason.trim() === '') faults.push(`${rule.call}: has no reason`);
  if (rule.kept?.trim() === '') faults.push(`${rule.call}: is kept for no reason`);
  if (rule.errno !== undefined && profileErrnos[rule.errno] === undefined)
    faults.push(`${rule.call}: unknown errno ${rule.errno}`);
  if (rule.errno !== undefined && rule.anyOf !== undefined)
    faults.push(`${rule.call}: errno and anyOf exclude each other`);
  if (rule.anyOf !== undefined && (rule.anyOf.length === 0 || rule.anyOf.some((all) => all.length === 0)))
    faults.push(`${rule.call}: an empty list of conditions would allow nothing or everything`);
  for (const conditions of rule.anyOf ?? []) {
    const indexes = conditions.map(({ index }) => index);
    // libseccomp takes one condition an argument and rule; runtimes would turn a second one into "or".
    if (new Set(indexes).size < indexes.length)
      faults.push(`${rule.call}: one alternative has two conditions on the same argument`);
    faults.push(...conditions.flatMap((condition) => conditionFaults(rule.call, condition)));
  }
  return faults;
}

function conditionFaults(
  call: string,
  { index, op, value, valueTwo, reason, kept }: ProfileCondition,
): string[] {
  const faults: string[] = [];
  if (!Number.isInteger(index) || index < 0 || index > 5)
    faults.push(`${call}: argument ${index}: 0 to 5 expected`);
  if (!operators.has(op)) faults.push(`${call}: unknown operator ${op}`);
  if ((op === 'SCMP_CMP_MASKED_EQ') !== (valueTwo !== undefined))
    faults.push(`${call}: valueTwo belongs to SCMP_CMP_MASKED_EQ and to nothing else`);
  for (const number of [value, valueTwo ?? 0]) {
    if (!Number.isSafeInteger(number) || number < 0)
      faults.push(`${call}: ${number}: a whole number expected`);
  }
  if (reason.trim() === '') faults.push(`${call}: a condition has no reason`);
  if (kept?.trim() === '') faults.push(`${call}: a condition is kept for no reason`);
  return faults;
}
