/** Giving another process a descriptor over a Unix socket: socketpair(2), sendmsg(2) with SCM_RIGHTS (unix(7)). */
import type { Socket } from 'node:net';
import { addressOf, checked, syscall } from './libc.ts';
import { descriptorOf } from './peer-credentials.ts';

const SYS_sendmsg = 46;
const SYS_socketpair = 53;
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

/** Two connected stream sockets without a name, closed on exec. Throws SystemError. */
export function socketPair(): readonly [number, number] {
  const pair = new Int32Array(2);
  checked(
    syscall(SYS_socketpair, [AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, addressOf(pair)]),
    'socketpair',
    'AF_UNIX',
  );
  const [one = -1, other = -1] = pair;
  return [one, other];
}

/** struct cmsghdr with one descriptor: 16 bytes of head, the number, and padding. */
function rights(descriptor: number): Buffer {
  const control = Buffer.alloc(24);
  control.writeBigUInt64LE(20n, 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  control.writeInt32LE(descriptor, 16);
  return control;
}

/**
 * Writes `bytes` past the socket's own queue, which must be empty, with the descriptor beside the first of them; gives how many were
 * written. Throws SystemError (EAGAIN: the peer does not read) and TypeError once the socket is closed.
 */
export function sendDescriptor(socket: Socket, bytes: Uint8Array, descriptor: number): number {
  const fd = descriptorOf(socket);
  if (fd === undefined) throw new TypeError('the socket is closed');
  const control = rights(descriptor);
  const vector = Buffer.alloc(16);
  vector.writeBigUInt64LE(addressOf(bytes), 0);
  vector.writeBigUInt64LE(BigInt(bytes.length), 8);
  // struct msghdr: name, namelen, iov, iovlen, control, controllen, flags.
  const message = Buffer.alloc(56);
  message.writeBigUInt64LE(addressOf(vector), 16);
  message.writeBigUInt64LE(1n, 24);
  message.writeBigUInt64LE(addressOf(control), 32);
  message.writeBigUInt64LE(BigInt(control.length), 40);
  const result = syscall(SYS_sendmsg, [fd, addressOf(message), MSG_DONTWAIT | MSG_NOSIGNAL]);
  return checked(result, 'sendmsg', 'SCM_RIGHTS');
}
