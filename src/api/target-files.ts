/**
 * The file that an image job makes: empty and the caller's own from the start, under a name beside the wanted one, and linked
 * to that name when it is whole. What reads and writes of the file system here is the caller's own process.
 */
import type { ApiFault } from './errors.ts';
import { maxTargetNameBytes, partPath } from '../protocol/disk-job.ts';

export type FaultText = Pick<ApiFault, 'code' | 'message' | 'hint'>;

/** `made`: there is an empty file of the caller's; else the manager has it made, for administrators. */
export type MadePart = { readonly made: boolean } | { readonly fault: FaultText };

export interface TargetFiles {
  make(path: string, job: string): Promise<MadePart>;
  /** Gives it its name; a fault where that is not possible. */
  publish(path: string, job: string): Promise<FaultText | null>;
  remove(path: string, job: string): Promise<void>;
  /** Takes away what was made and named, where the caller may; gives whether it is gone. */
  discard?(path: string): Promise<boolean>;
}

export const localTargetFiles: TargetFiles = {
  async make(path, job) {
    const { constants } = await import('node:fs');
    const { lstat, open } = await import('node:fs/promises');
    const there = await lstat(path).then(
      () => true,
      () => false,
    );
    if (there) return { fault: exists(path) };
    if (Buffer.byteLength(path.slice(path.lastIndexOf('/') + 1)) > maxTargetNameBytes)
      return {
        fault: {
          code: 'request-invalid',
          message: `"${path}": the file's name is too long`,
          hint: 'choose a shorter one',
        },
      };
    try {
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
      const file = await open(partPath(path, job), flags, 0o600);
      await file.close();
      return { made: true };
    } catch {
      return { made: false };
    }
  },

  /** A link does not replace what stands there meanwhile, as a rename would. */
  async publish(path, job) {
    const { link, open, unlink } = await import('node:fs/promises');
    const sync = async (what: string): Promise<void> => {
      await using file = await open(what, 'r');
      await file.sync();
    };
    try {
      // SECURITY: promise 7. Whole on disk before it has its name, and the name before anybody is told.
      await sync(partPath(path, job));
      await link(partPath(path, job), path);
      await unlink(partPath(path, job));
      await sync(path.slice(0, path.lastIndexOf('/')) || '/');
      return null;
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return exists(path);
      const reason = error instanceof Error ? error.message : String(error);
      return {
        code: 'disk-failed',
        message: `"${path}" cannot be named: ${reason}`,
        hint: 'look at the directory and its file system',
      };
    }
  },

  async remove(path, job) {
    const { unlink } = await import('node:fs/promises');
    await unlink(partPath(path, job)).catch(() => undefined);
  },

  async discard(path) {
    const { unlink } = await import('node:fs/promises');
    return await unlink(path).then(
      () => true,
      () => false,
    );
  },
};

const exists = (path: string): FaultText => ({
  code: 'file-exists',
  message: `"${path}" is there already`,
  hint: 'choose another name, or remove it',
});
