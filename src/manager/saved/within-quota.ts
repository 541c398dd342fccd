/** Keeping the memory of a machine for its owner, whose quota it counts in. */
import type { Machine } from '../lifecycle/machine.ts';
import type { Outcome } from '../outcome.ts';
import type { Quotas } from '../quotas.ts';
import { mostStateBytes } from './space.ts';

export interface KeepingServices {
  readonly quotas: Pick<Quotas, 'whileKeeping'>;
}

/** SECURITY: promise 4. The manager's file system is everybody's: no owner fills it with memories beyond what the quota gives. */
export async function withinQuota<Result>(
  { quotas }: KeepingServices,
  { record, saved }: Machine,
  keep: () => Promise<Outcome<Result>>,
): Promise<Outcome<Result>> {
  // There is nothing to write: it is undefined, or saved already.
  if (record === null || saved !== undefined) return await keep();
  const { definition, metadata } = record;
  return await quotas.whileKeeping(
    { owner: metadata.owner, definition, bytes: mostStateBytes(definition) },
    keep,
  );
}
