/** Rules of qward's own: refusals carry their names where no key of the policy decides. For people; nothing is decided here. */
export const ownRules = {
  'plain-paths': 'a path is absolute, without ".", ".." and empty parts',
  'no-links': 'no link is followed, at no part of a path',
  'regular-files': 'a machine gets regular files, and block devices that the policy names',
  'kernel-files': "what is the kernel itself is no machine's file",
  'own-files': "what is qward's own is no machine's file",
  'user-claims': "a user's file is opened for the machines alone that the user claimed it for",
  'owner-rights': 'a machine gets no file that the user who claimed it could not open',
  'few-snapshots': 'an image has 1,024 snapshots within it at most',
} as const;

export type OwnRule = keyof typeof ownRules;

export const isOwnRule = (rule: string): rule is OwnRule => Object.hasOwn(ownRules, rule);

/** `owner-rights: a machine gets no file ...`; undefined for a key of the policy. */
export function ownRuleText(rule: string): string | undefined {
  return isOwnRule(rule) ? `${rule}: ${ownRules[rule]}` : undefined;
}
