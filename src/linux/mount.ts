/** Mounting small file systems: mount(2), umount2(2). */
import { addressOf, checked, cString, lastErrno, libc, syscall, SystemError } from './libc.ts';

const MS_NOSUID = 2n;
const MS_NODEV = 4n;
const MS_NOEXEC = 8n;
const MS_RDONLY = 1n;
const MS_REMOUNT = 32n;
const MS_BIND = 4096n;
const MS_PRIVATE = 1n << 18n;
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

/** Binds an open file or directory at `target`, to be read only; what `fd` was found to be is what is shown. */
export function bindReadOnly(fd: number, target: string): void {
  const [source, place] = [cString(`/proc/self/fd/${fd}`), cString(target)];
  const call = (from: bigint, flags: bigint): void => {
    checked(libc().mount(from, addressOf(place), 0n, flags, 0n), 'mount', target);
  };
  call(addressOf(source), MS_BIND);
  call(0n, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV);
}

const SYS_move_mount = 429;
const MOVE_MOUNT_F_EMPTY_PATH = 4;

/** Attaches a mount that stands nowhere (open_tree(2)) at `target`. */
export function attachMount(mount: number, target: string): void {
  const [empty, place] = [cString(''), cString(target)];
  const call = [mount, addressOf(empty), -100, addressOf(place), MOVE_MOUNT_F_EMPTY_PATH];
  checked(syscall(SYS_move_mount, call), 'move_mount', target);
}

/** Mounts made on this one appear in no other mount namespace (mount_namespaces(7)). */
export function makePrivate(path: string): void {
  const place = cString(path);
  checked(libc().mount(0n, addressOf(place), 0n, MS_PRIVATE, 0n), 'mount', path);
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
