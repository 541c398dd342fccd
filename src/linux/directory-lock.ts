/** A lock that the kernel takes back when its holder ends, whatever way: flock(2) on a directory. */
import { closeSync, constants, openSync } from 'node:fs';
import { syscall } from './libc.ts';

const SYS_flock = 73;
const LOCK_EX = 2;
const LOCK_NB = 4;

/** Undefined where another process holds it. Disposing gives it back. */
export function lockDirectory(path: string): Disposable | undefined {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  if (syscall(SYS_flock, [fd, LOCK_EX | LOCK_NB]) === 0n) return { [Symbol.dispose]: () => closeSync(fd) };
  closeSync(fd);
  return undefined;
}
