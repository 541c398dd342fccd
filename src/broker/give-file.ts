/** As root: files as the machine's uid may open them again, at /proc/self/fd/N, and no wider. */
import { closeSync } from 'node:fs';
import { sealedCopy, type OpenFile } from '../linux/descriptors.ts';
import { errorCode } from '../linux/errno.ts';
import { openAsOwn, openReadOnly } from '../linux/idmapped.ts';
import type { Refusal } from '../protocol/broker.ts';
import type { FileDescriptor, FileGiving } from './means.ts';
import { refusedAs } from './refused-as.ts';

export async function giveFile(
  file: FileDescriptor,
  opened: OpenFile,
  giving: FileGiving,
): Promise<number | Refusal> {
  const { access, reopened } = file;
  // What others may do is what the machine's uid may do.
  const others = opened.stats.isFile() ? opened.stats.mode & 0o006 : 0;
  const open = !reopened || others === 0o006 || (access === 'ro' && others === 0o004);
  // SECURITY: promise 2. To be read means so: by /proc/self/fd/N a descriptor leads past the directories that keep others away.
  const mayBeWritten = access === 'ro' && (others & 0o002) !== 0;
  if (open && !mayBeWritten) return opened.fd;
  try {
    return open ? shutToWriters(file, opened.fd) : await reopenable(file, opened, giving);
  } finally {
    closeSync(opened.fd);
  }
}

function shutToWriters({ path }: FileDescriptor, fd: number): number | Refusal {
  return refusedAs(
    () => openReadOnly(fd),
    (code) => ({
      code: 'file-unreadable',
      message: `"${path}": everybody may write it, and it cannot be shown to be read alone (${code})`,
      hint: `chmod o-w "${path}"`,
    }),
  );
}

/** A descriptor that the machine's uid may open again at /proc/self/fd/N: the file as if its own, else a copy of it. */
async function reopenable(
  { path, access }: FileDescriptor,
  { fd, stats }: OpenFile,
  { ids: { uid }, budget }: FileGiving,
): Promise<number | Refusal> {
  const refusal = (reason: string, hint: string): Refusal => ({
    code: 'file-unreadable',
    message: `"${path}": ${reason}`,
    hint,
  });
  if (!stats.isFile())
    return {
      ...refusal(
        'it is a block device, and the jail of an image tool has none',
        `copy it as root: qemu-img convert -f raw ${path} IMAGE`,
      ),
      code: 'file-kind',
    };
  let reason = `its owner may not ${access === 'ro' ? 'read' : 'write'} it`;
  if ((stats.mode & (access === 'ro' ? 0o400 : 0o600)) === (access === 'ro' ? 0o400 : 0o600)) {
    try {
      return await openAsOwn(fd, stats, { uid, access });
    } catch (error) {
      if (errorCode(error) === '') throw error;
      reason = `its file system cannot show it to the machine (${errorCode(error)})`;
    }
  }
  if (access === 'rw') return refusal(reason, 'move it to a file system that can: ext4, xfs, btrfs or tmpfs');
  try {
    const copy = sealedCopy(fd, path, budget.left);
    budget.left -= stats.size;
    return copy;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return refusal(
      `${reason}, and ${error.message}`,
      'let others read the file, or move it to ext4, xfs, btrfs or tmpfs',
    );
  }
}
