/** Mounting small file systems: mount(2), umount2(2). */
import { addressOf, checked, cString, lastErrno, libc, SystemError } from './libc.ts';

const MS_NOSUID = 2n;
const MS_NODEV = 4n;
const MS_NOEXEC = 8n;
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;

/** A tmpfs at `path` for files of root that nothing executes. `options` as tmpfs(5) has them. */
export function mountTmpfs(path: string, options: string): void {
  const [source, target, type, data] = [cString('qward'), cString(path), cString('tmpfs'), cString(options)];
  checked(
    libc().mount(
      addressOf(source),
      addressOf(target),
      addressOf(type),
      MS_NOSUID | MS_NODEV | MS_NOEXEC,
      addressOf(data),
    ),
    'mount',
    path,
  );
}

/** Unmounts, also while something still holds a file of it; false where nothing is mounted there. */
export function unmount(path: string): boolean {
  const target = cString(path);
  if (libc().umount2(addressOf(target), MNT_DETACH | UMOUNT_NOFOLLOW) === 0) return true;
  const errno = lastErrno();
  const error = new SystemError('umount2', errno, path);
  if (error.code === 'EINVAL' || error.code === 'ENOENT') return false;
  throw error;
}
