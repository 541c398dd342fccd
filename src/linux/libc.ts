/**
 * The C library by FFI: the one place where qward leaves JavaScript. Every call here is synchronous and short.
 * Sources: the man pages of section 2 and 3 named beside each use; syscall numbers are those of x86-64.
 */
import { dlopen, getInt32, getRawPointer } from 'node:ffi';
import { getSystemErrorName } from 'node:util';

/** A system call that failed: its name, the errno's name, and what it was about. */
export class SystemError extends Error {
  readonly code: string;
  readonly call: string;

  constructor(call: string, errno: number, subject: string) {
    const code = getSystemErrorName(-errno);
    super(`${subject}: ${call}: ${code}`);
    this.name = 'SystemError';
    this.code = code;
    this.call = call;
  }
}

function load() {
  const { functions } = dlopen(null, {
    syscall: { arguments: ['i64', 'i64', 'i64', 'i64', 'i64', 'i64', 'i64'], return: 'i64' },
    __errno_location: { arguments: [], return: 'pointer' },
    socket: { arguments: ['i32', 'i32', 'i32'], return: 'i32' },
    bind: { arguments: ['i32', 'pointer', 'u32'], return: 'i32' },
    getsockopt: { arguments: ['i32', 'i32', 'i32', 'pointer', 'pointer'], return: 'i32' },
    ioctl: { arguments: ['i32', 'u64', 'pointer'], return: 'i32' },
    fcntl: { arguments: ['i32', 'i32', 'i64'], return: 'i32' },
    mount: { arguments: ['pointer', 'pointer', 'pointer', 'u64', 'pointer'], return: 'i32' },
    umount2: { arguments: ['pointer', 'i32'], return: 'i32' },
    getpwuid_r: { arguments: ['u32', 'pointer', 'pointer', 'u64', 'pointer'], return: 'i32' },
    getpwnam_r: { arguments: ['pointer', 'pointer', 'pointer', 'u64', 'pointer'], return: 'i32' },
    getgrnam_r: { arguments: ['pointer', 'pointer', 'pointer', 'u64', 'pointer'], return: 'i32' },
    getgrouplist: { arguments: ['pointer', 'u32', 'pointer', 'pointer'], return: 'i32' },
  });
  return { ...functions, errno: functions.__errno_location() };
}

let loaded: ReturnType<typeof load> | undefined;

/** The library, loaded at first use (programs that need no system call do not pay for it). */
export function libc(): ReturnType<typeof load> {
  loaded ??= load();
  return loaded;
}

/** errno of the call just made; valid only before anything else runs. */
export function lastErrno(): number {
  return getInt32(libc().errno);
}

/** The result of a call, or a SystemError where it is negative. */
export function checked(result: number | bigint, call: string, subject: string): number {
  if (result < 0) throw new SystemError(call, lastErrno(), subject);
  return Number(result);
}

/** A NUL-terminated string. */
export function cString(text: string): Buffer {
  if (text.includes('\0')) throw new TypeError('a string for the kernel contains NUL');
  return Buffer.from(`${text}\0`, 'utf8');
}

/** More buffers than any call takes. */
const held: (Uint8Array | Int32Array)[] = Array.from({ length: 32 }, () => new Uint8Array());
let next = 0;

/**
 * Address of a buffer's memory, for a call that follows at once.
 * SECURITY: promise 1. The buffer is held here: to compiled code a variable that is not named again is dead, and its memory
 * was seen to go to others before the kernel read it.
 */
export function addressOf(buffer: Uint8Array | Int32Array): bigint {
  held[next] = buffer;
  next = (next + 1) % held.length;
  return getRawPointer(buffer);
}

/** A raw system call with integer arguments (syscall(2)). */
export function syscall(number: number, args: readonly (number | bigint)[]): bigint {
  const [a = 0n, b = 0n, c = 0n, d = 0n, e = 0n, f = 0n] = args.map(BigInt);
  return libc().syscall(BigInt(number), a, b, c, d, e, f);
}
