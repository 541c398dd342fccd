/** Opening files so that nobody can swap them meanwhile: openat2(2), memfd_create(2). Who calls owns the descriptor. */
import { closeSync, constants, fstatSync, openSync, readSync, writeSync, type Stats } from 'node:fs';
import { errorCode } from './errno.ts';
import { addressOf, checked, cString, lastErrno, libc, syscall, SystemError } from './libc.ts';

const SYS_openat2 = 437;
const SYS_memfd_create = 319;
const SYS_fstatfs = 138;
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

/** An open file, and what it is. */
export interface OpenFile {
  readonly fd: number;
  readonly stats: Stats;
}

/**
 * Opens a regular file beneath `root`, following no link anywhere in the whole path (openat2(2), RESOLVE_BENEATH,
 * RESOLVE_NO_SYMLINKS). Throws SystemError: ENOENT, EACCES, ELOOP for a link, EXDEV for an escape, and NotOpenedError.
 */
export function openRegularBeneath(root: string, relativePath: string, access: Access): OpenFile {
  const rootFd = openat2(-100, root, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
  try {
    const pathFd = openat2(
      rootFd,
      relativePath,
      RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    );
    return openAgain(pathFd, access, faultOfRegular);
  } finally {
    closeSync(rootFd);
  }
}

/** Opens a regular file, following no link. Throws as `openRegularBeneath`. */
export function openRegular(path: string, access: Access): OpenFile {
  const pathFd = openat2(-100, path, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
  return openAgain(pathFd, access, faultOfRegular);
}

/**
 * Opens a block device; `isTheOne` says by its number whether it is the one that was meant. Links in /dev are root's own, and
 * followed; in the directories there that everybody can write in they are not. Throws as `openRegularBeneath`; EBUSY where
 * it is to be written and mounted, or a part of another device.
 */
export function openBlockDevice(
  path: string,
  access: Access,
  isTheOne: (number: number) => boolean,
): OpenFile {
  const shared = /^(?!\/dev\/)|^\/dev\/(?:shm|mqueue)\//.test(path);
  const pathFd = openat2(-100, path, RESOLVE_NO_MAGICLINKS | (shared ? RESOLVE_NO_SYMLINKS : 0));
  return openAgain(pathFd, access, (stats) => {
    if (!stats.isBlockDevice()) return 'ENOTBLK';
    return isTheOne(stats.rdev) ? null : 'EOTHER';
  });
}

/**
 * SECURITY: rule manager. A descriptor of what does not say what it is (a FUSE file system says so to nobody but its user,
 * and its user chooses when) is closed, not left to fill the table.
 */
function withStats(fd: number): OpenFile {
  try {
    return { fd, stats: fstatSync(fd) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** What is wrong with a path that was found: of another kind, a block device, not the device, not a file but the kernel. */
type KindFault = 'ENOTREG' | 'EISBLK' | 'ENOTBLK' | 'EOTHER' | 'EKERNEL';

/** The path is there, and names something else, or may not be opened; `stats` is what it names. */
export class NotOpenedError extends Error {
  readonly code: string;
  readonly stats: Stats;
  constructor(code: string, stats: Stats) {
    super(code);
    this.name = 'NotOpenedError';
    this.code = code;
    this.stats = stats;
  }
}

const faultOfRegular = (stats: Stats): KindFault | null =>
  stats.isFile() ? null : stats.isBlockDevice() ? 'EISBLK' : 'ENOTREG';

/**
 * Opens what an O_PATH descriptor is, and closes that. Never waits: a file under a lease is EAGAIN.
 * SECURITY: promise 1. An O_PATH descriptor has no side effects: a FIFO or device is refused before it is opened.
 */
function openAgain(pathFd: number, access: Access, faultOf: (stats: Stats) => KindFault | null): OpenFile {
  const { stats } = withStats(pathFd);
  try {
    const fault = faultOf(stats) ?? (isKernels(pathFd) ? 'EKERNEL' : null);
    if (fault !== null) throw new NotOpenedError(fault, stats);
    const flags = (access === 'ro' ? constants.O_RDONLY : constants.O_RDWR) | constants.O_NONBLOCK;
    const path = `/proc/self/fd/${pathFd}`;
    // SECURITY: promise 7. A device that is mounted is never written by a machine as well: open(2), O_EXCL.
    if (stats.isBlockDevice() && access === 'rw') closeSync(openSync(path, flags | constants.O_EXCL));
    return withStats(openSync(path, flags));
  } catch (error) {
    const code = errorCode(error);
    throw error instanceof NotOpenedError || code === '' ? error : new NotOpenedError(code, stats);
  } finally {
    closeSync(pathFd);
  }
}

/** File systems whose files are the kernel itself (statfs(2)): proc, sys, debug, trace, security, cgroup, bpf, SELinux, EFI. */
const kernelFileSystems: ReadonlySet<bigint> = new Set([
  0x9fa0n,
  0x6265_6572n,
  0x6462_6720n,
  0x7472_6163n,
  0x7363_6673n,
  0x27_e0ebn,
  0x6367_7270n,
  0xcafe_4a11n,
  0xf97c_ff8cn,
  0xde5e_81e4n,
]);

function isKernels(fd: number): boolean {
  const facts = Buffer.alloc(128);
  checked(syscall(SYS_fstatfs, [fd, addressOf(facts)]), 'fstatfs', 'file');
  return kernelFileSystems.has(facts.readBigUInt64LE(0));
}

const SYS_faccessat2 = 439;
const AT_EACCESS = 0x200;
const AT_EMPTY_PATH = 0x1000;

/**
 * A descriptor (O_PATH) of a regular file, directory or socket that the calling thread may use so, following no link; state: of a directory
 * that is the owner's. Nothing is opened by it. Throws SystemError, and NotOpenedError.
 */
export function openToShow(
  path: string,
  access: Access,
  kind: 'file' | 'socket' | 'state',
  owner?: number,
): OpenFile {
  const file = withStats(openat2(-100, path, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS));
  const { fd, stats } = file;
  try {
    // SECURITY: promise 1. What the manager may have put in its directory of somebody else's is not shown as anybody's own.
    const own = stats.uid === owner && stats.isDirectory();
    const kinds = { socket: stats.isSocket(), state: own, file: stats.isFile() || stats.isDirectory() };
    const fits = kinds[kind];
    if (!fits) throw new NotOpenedError('EOTHERKIND', stats);
    if (isKernels(fd)) throw new NotOpenedError('EKERNEL', stats);
    const [search, write] = [stats.isDirectory() ? 1 : 0, access === 'rw' ? 2 : 0];
    const wanted = (kind === 'socket' ? 0 : 4) | search | write;
    const empty = cString('');
    const call = [fd, addressOf(empty), wanted, AT_EACCESS | AT_EMPTY_PATH];
    checked(syscall(SYS_faccessat2, call), 'faccessat2', path);
    return file;
  } catch (error) {
    closeSync(fd);
    throw error instanceof NotOpenedError ? error : new NotOpenedError(errorCode(error), stats);
  }
}

/** At most `length` bytes from the start of the file. */
export function readHead(fd: number, length: number): Buffer {
  const head = Buffer.alloc(length);
  return head.subarray(0, readSync(fd, head, 0, length, 0));
}

/** An empty file in memory, charged to who writes it (memfd_create(2)). The caller closes it. */
export function memoryFile(name: string): number {
  const label = cString(name.slice(0, 200));
  return checked(
    syscall(SYS_memfd_create, [addressOf(label), MFD_CLOEXEC | MFD_ALLOW_SEALING]),
    'memfd_create',
    name,
  );
}

/**
 * A copy of an open file in memory that nobody can change any more, readable by every uid that has a descriptor
 * (memfd_create(2), F_ADD_SEALS). The copy is charged to the calling process.
 */
export function sealedCopy(source: number, name: string, maxBytes: number): number {
  const size = fstatSync(source).size;
  if (size > maxBytes) throw new RangeError(`${name}: ${size} bytes, at most ${maxBytes} can be copied`);
  const copy = memoryFile(name);
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
  return withStats(openat2(-100, path, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS));
}
