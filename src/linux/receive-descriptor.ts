/** Taking a descriptor that another process passes over a Unix socket: recvmsg(2) with SCM_RIGHTS (unix(7)). */
import { getSystemErrorName } from 'node:util';
import { addressOf, lastErrno, syscall, SystemError } from './libc.ts';

const SYS_recvmsg = 47;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CTRUNC = 0x8;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x4000_0000;

export interface Received {
  /** Empty: the peer has closed. */
  readonly bytes: Buffer;
  /** The caller closes it. */
  readonly descriptor: number | undefined;
}

/** What is there, up to `size` bytes; undefined: nothing yet. Throws SystemError, also where there were more descriptors than one. */
export function receiveDescriptor(fd: number, size: number): Received | undefined {
  const bytes = Buffer.alloc(size);
  const control = Buffer.alloc(24);
  const vector = Buffer.alloc(16);
  vector.writeBigUInt64LE(addressOf(bytes), 0);
  vector.writeBigUInt64LE(BigInt(size), 8);
  // struct msghdr: name, namelen, iov, iovlen, control, controllen, flags.
  const message = Buffer.alloc(56);
  message.writeBigUInt64LE(addressOf(vector), 16);
  message.writeBigUInt64LE(1n, 24);
  message.writeBigUInt64LE(addressOf(control), 32);
  message.writeBigUInt64LE(BigInt(control.length), 40);
  const length = syscall(SYS_recvmsg, [fd, addressOf(message), MSG_DONTWAIT | MSG_CMSG_CLOEXEC]);
  if (length < 0n) {
    const errno = lastErrno();
    if (['EAGAIN', 'EINTR'].includes(getSystemErrorName(-errno))) return undefined;
    throw new SystemError('recvmsg', errno, 'SCM_RIGHTS');
  }
  const isRights =
    message.readBigUInt64LE(40) >= 20n &&
    control.readInt32LE(8) === SOL_SOCKET &&
    control.readInt32LE(12) === SCM_RIGHTS;
  if ((message.readInt32LE(48) & MSG_CTRUNC) !== 0) throw new TypeError('more descriptors than one');
  return {
    bytes: bytes.subarray(0, Number(length)),
    descriptor: isRights ? control.readInt32LE(16) : undefined,
  };
}
