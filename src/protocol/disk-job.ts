/** Names that jobs of the image tools have, and the names under which what they make grows. */

/** No machine has a name that begins so. */
export const diskJobPrefix = 'qward-disk-';
export const diskJobPattern = /^qward-disk-[a-z0-9]{12,32}$/;

/** File names have 255 bytes (NAME_MAX), and that of a part holds the job's too. */
export const maxTargetNameBytes = 180;

/** What a job makes lies beside its final name, which it gets when all of it is there. */
export function partPath(path: string, job: string): string {
  const slash = path.lastIndexOf('/');
  return `${path.slice(0, slash)}/.${path.slice(slash + 1)}.${job}`;
}

export type PartAction = 'create' | 'publish' | 'discard';
export const partActions: readonly PartAction[] = ['create', 'publish', 'discard'];
