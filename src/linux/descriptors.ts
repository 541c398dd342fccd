/** Opening files so that nobody can swap them meanwhile: openat2(2), memfd_create(2). Who calls owns the descriptor. */
import { closeSync, constants, fstatSync, openSync, readSync, writeSync, type Stats } from 'node:fs';
import { addressOf, checked, cString, lastErrno, libc, syscall, SystemError } from './libc.ts';

const SYS_openat2 = 437;
const SYS_memfd_create = 319;
const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_NO_SYMLINKS = 0x04;
const RESOLVE_BENEATH = 0x08;
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const F_SEAL_ALL = 0x1 | 0x2 | 0x4 | 0x8;

export type Access = 'ro' | 'rw';

function openat2(directory: number, path: string, resolve: number): number {
  const name = cString(path);
  const how = new BigUint64Array([BigInt(O_PATH | O_CLOEXEC), 0n, BigInt(resolve)]);
  const howBytes = new Uint8Array(how.buffer);
  const result = syscall(SYS_openat2, [directory, addressOf(name), addressOf(howBytes), howBytes.length]);
  return checked(result, 'openat2', path);
}

/**
 * Opens a regular file beneath `root`, following no link anywhere in the whole path (openat2(2), RESOLVE_BENEATH,
 * RESOLVE_NO_SYMLINKS). Throws SystemError: ENOENT, EACCES, ELOOP for a link, EXDEV for an escape; code ENOTREG
 * where it is something else than a regular file.
 */
export function openRegularBeneath(
  root: string,
  relativePath: string,
  access: Access,
): { fd: number; stats: Stats } {
  const rootFd = openat2(-100, root, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
  try {
    const pathFd = openat2(
      rootFd,
      relativePath,
      RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    );
    try {
      // SECURITY: promise 1. An O_PATH descriptor has no side effects: a FIFO or device is refused before it is opened.
      if (!fstatSync(pathFd).isFile()) throw new NotRegularError(`${root}/${relativePath}`);
      const flags = (access === 'ro' ? constants.O_RDONLY : constants.O_RDWR) | constants.O_NONBLOCK;
      const fd = openSync(`/proc/self/fd/${pathFd}`, flags);
      return { fd, stats: fstatSync(fd) };
    } finally {
      closeSync(pathFd);
    }
  } finally {
    closeSync(rootFd);
  }
}

/** The path names something other than a regular file. */
export class NotRegularError extends Error {
  readonly code = 'ENOTREG';
  constructor(path: string) {
    super(`${path}: not a regular file`);
    this.name = 'NotRegularError';
  }
}

/** At most `length` bytes from the start of the file. */
export function readHead(fd: number, length: number): Buffer {
  const head = Buffer.alloc(length);
  return head.subarray(0, readSync(fd, head, 0, length, 0));
}

/**
 * A copy of an open file in memory that nobody can change any more, readable by every uid that has a descriptor
 * (memfd_create(2), F_ADD_SEALS). The copy is charged to the calling process.
 */
export function sealedCopy(source: number, name: string, maxBytes: number): number {
  const size = fstatSync(source).size;
  if (size > maxBytes) throw new RangeError(`${name}: ${size} bytes, at most ${maxBytes} can be copied`);
  const label = cString(name.slice(0, 200));
  const result = syscall(SYS_memfd_create, [addressOf(label), MFD_CLOEXEC | MFD_ALLOW_SEALING]);
  const copy = checked(result, 'memfd_create', name);
  try {
    const chunk = Buffer.alloc(Math.min(size, 1024 * 1024));
    for (let offset = 0; offset < size;) {
      const read = readSync(source, chunk, 0, chunk.length, offset);
      if (read === 0) break;
      for (let written = 0; written < read;) written += writeSync(copy, chunk, written, read - written);
      offset += read;
    }
    if (libc().fcntl(copy, F_ADD_SEALS, BigInt(F_SEAL_ALL)) < 0)
      throw new SystemError('fcntl', lastErrno(), name);
    return copy;
  } catch (error) {
    closeSync(copy);
    throw error;
  }
}

/** A descriptor (O_PATH) of what a path names, following no link anywhere in it. Throws SystemError. The caller closes it. */
export function openSystemPath(path: string): { fd: number; stats: Stats } {
  const fd = openat2(-100, path, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
  return { fd, stats: fstatSync(fd) };
}
