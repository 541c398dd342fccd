/** Files that are either the old or the new one, also after a power cut. */
import { copyFile, mkdir, open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorCode } from '../../linux/errno.ts';
import { failure, success, type Outcome } from '../outcome.ts';

/** Writes a new file beside `path`, syncs it and puts it in place. On a fault the old file is what it was. */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<Outcome<void>> {
  const temporary = `${path}.new`;
  try {
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(content, 'utf8');
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncDirectory(dirname(path));
    return success(undefined);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    return unwritable(path, error);
  }
}

/** Removes a file for good; one that is not there is no fault. */
export async function removeFile(path: string): Promise<Outcome<void>> {
  try {
    await unlink(path);
    await syncDirectory(dirname(path));
    return success(undefined);
  } catch (error) {
    return errorCode(error) === 'ENOENT' ? success(undefined) : unwritable(path, error);
  }
}

/** A directory of the manager's own, closed to others; that it is there is durable. */
export async function makeDirectory(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) await syncDirectory(dirname(made));
}

/** Makes names durable that were given or taken in it. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function unwritable(path: string, error: unknown): Outcome<never> {
  const reason = error instanceof Error ? error.message : String(error);
  const full = ['ENOSPC', 'EDQUOT'].includes(errorCode(error));
  return failure(
    'state-unwritable',
    `${path} could not be written: ${reason}; nothing was changed`,
    full
      ? `make room on the file system of ${dirname(path)}`
      : `make ${dirname(path)} writable for the manager's user`,
  );
}

/** A copy that is on disk when this returns; under a name that nobody uses yet. */
export async function copyDurably(from: string, to: string): Promise<void> {
  await copyFile(from, to);
  await using file = await open(to, 'r');
  await file.sync();
}
