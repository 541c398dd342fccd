/** /dev/kvm as the session's user may open it: the host's own node, which no session changes. */
import { accessSync, constants, existsSync } from 'node:fs';
import type { HostFacts } from '../../plan/launch-plan.ts';

export const notYours = '/dev/kvm is there, and not yours to open';

/** The proof, where there is something to prove. */
export function ownKvm(prove: () => Promise<HostFacts['kvm']>): () => Promise<HostFacts['kvm']> {
  return () =>
    existsSync('/dev/kvm') && !isOpenToUs() ? Promise.resolve({ works: false, reason: notYours }) : prove();
}

function isOpenToUs(): boolean {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
