/** The state of a machine's TPM: a directory of its own, which swtpm fills. */
import { mkdir } from 'node:fs/promises';
import { tpmStatePath } from '../plan/tpm.ts';
import { failure, success, type Outcome } from './outcome.ts';

/** Makes the directory where there is none. */
export async function ensureTpmState(varsDirectory: string, machine: string): Promise<Outcome<void>> {
  const path = tpmStatePath(varsDirectory, machine);
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    return success(undefined);
  } catch (error) {
    return failure(
      'state-unwritable',
      `the state of the TPM ${path} could not be made: ${error instanceof Error ? error.message : String(error)}`,
      'make room, and let the directory belong to the user of qward-manager',
    );
  }
}
