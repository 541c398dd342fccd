/** Something that stands in the way, for a person: what, what was expected, the cure. Codes are in api/errors.ts. */
export interface Fault {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  /** Place in the definition, where it is about one. */
  readonly path?: readonly (string | number)[];
  readonly line?: number;
  readonly column?: number;
  /** The key of the policy that refuses it, `storageRoots[1]`, and where that stands; or a rule that always holds, and its words. */
  readonly rule?: string;
  readonly ruleAt?: string;
}
