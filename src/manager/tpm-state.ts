/** The state of a machine's TPM: a directory of its own, which swtpm fills, and may fill with more than a TPM has. */
import { lstat, mkdir, opendir, unlink } from 'node:fs/promises';
import { tpmStatePath } from '../plan/tpm.ts';
import { failure, success, type Outcome } from './outcome.ts';

/** Five are swtpm's own, each below 300 KiB, for some moments twice (swtpm_nvstore_dir.c). */
const maxFiles = 16;
const maxBytes = 4 * 1024 ** 2;
/** What swtpm makes: the state, what it holds at a stop, each while it is written, and its lock. */
const own = /^(?:(?:tpm2|TMP2)-[0-9a-f]{2}\.(?:permall|volatilestate|savestate)|\.lock)$/;

/** Makes the directory where there is none, and takes out what no TPM has. */
export async function ensureTpmState(varsDirectory: string, machine: string): Promise<Outcome<void>> {
  const path = tpmStatePath(varsDirectory, machine);
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await removeStrange(path);
    return success(undefined);
  } catch (error) {
    return failure(
      'state-unwritable',
      `the state of the TPM ${path} could not be made: ${error instanceof Error ? error.message : String(error)}`,
      'make room, and let the directory belong to the user of qward-manager',
    );
  }
}

/**
 * Why it holds more than a TPM has; undefined: it does not.
 * SECURITY: promise 2. Each file is bounded by a limit of swtpm's process, their number by nothing that the kernel has: the file system
 * is the manager's.
 */
export async function overfullTpm(path: string): Promise<string | undefined> {
  let [files, bytes] = [0, 0];
  try {
    for await (const { name } of await opendir(path)) {
      files += 1;
      bytes += await lstat(`${path}/${name}`).then(
        ({ size }) => size,
        () => 0,
      );
      if (files > maxFiles) return `it made more than ${maxFiles} files`;
      if (bytes > maxBytes) return `its files have more than ${maxBytes / 1024 ** 2} MiB`;
    }
  } catch {
    // It is not there, as of a machine that was removed.
  }
  return undefined;
}

/** Takes out what swtpm makes none of. */
export async function removeStrange(path: string): Promise<void> {
  for await (const entry of await opendir(path))
    if (!own.test(entry.name) && !entry.isDirectory()) await unlink(`${path}/${entry.name}`);
}
