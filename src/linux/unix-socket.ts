/** Unix sockets that another process will listen on: unix(7). */
import { closeSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { addressOf, checked, lastErrno, libc, syscall } from './libc.ts';

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const SYS_connect = 42;
/** sun_path, with its NUL. */
const maxPathBytes = 108;

/**
 * Binds a stream socket at `path` with the given mode and does not listen. The process that inherits the descriptor
 * listens, so the peer credentials that a client sees are that process's (SO_PEERCRED is taken at listen(2)).
 */
export function bindUnixSocket(path: string, mode: number): number {
  const address = unixAddress(path);
  const fd = checked(libc().socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), 'socket', path);
  // SECURITY: promise 1. The mode holds from the first instant: umask, not chmod afterwards.
  const umask = process.umask(0o777 & ~mode);
  try {
    checked(libc().bind(fd, addressOf(address), address.length), 'bind', path);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  } finally {
    process.umask(umask);
  }
}

/**
 * One attempt to connect; its descriptor, or the errno's name. A hundredth of what `net.connect` costs, for a socket that is
 * asked every few milliseconds whether somebody listens by now.
 */
export function connectUnixSocket(path: string): { readonly fd: number } | { readonly code: string } {
  const address = unixAddress(path);
  const fd = checked(libc().socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), 'socket', path);
  if (syscall(SYS_connect, [fd, addressOf(address), address.length]) === 0n) return { fd };
  const code = getSystemErrorName(-lastErrno());
  closeSync(fd);
  return { code };
}

const SYS_listen = 50;

/** The same descriptor, on which one connection may wait until it is accepted. */
export function listening(fd: number): number {
  checked(syscall(SYS_listen, [fd, 1]), 'listen', 'a socket');
  return fd;
}

const F_SETFL = 4;

/** The same descriptor for who waits in its calls (fcntl(2)). */
export function blocking(fd: number): number {
  checked(libc().fcntl(fd, F_SETFL, 0n), 'fcntl', 'a socket');
  return fd;
}

/** struct sockaddr_un of a path, or of `@NAME`, which is in the abstract namespace; RangeError where it does not fit. */
export function unixAddress(path: string): Buffer {
  const name = Buffer.from(path, 'utf8');
  if (name.length >= maxPathBytes) throw new RangeError(`${path}: longer than ${maxPathBytes - 1} bytes`);
  const abstract = path.startsWith('@');
  // A path ends with NUL; an abstract name begins with one, and every byte counts.
  const address = Buffer.alloc(2 + name.length + (abstract ? 0 : 1));
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  if (abstract) address.writeUInt8(0, 2);
  return address;
}
