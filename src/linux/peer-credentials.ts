/** Who is at the other end of a Unix socket, as the kernel knows it: SO_PEERCRED, unix(7). */
import type { Socket } from 'node:net';
import { addressOf, checked, libc } from './libc.ts';

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Descriptor of a connected socket; undefined once it is closed. Node has no public way to it. */
export function descriptorOf(socket: Socket): number | undefined {
  const handle: unknown = Reflect.get(socket, '_handle');
  if (typeof handle !== 'object' || handle === null) return undefined;
  const fd: unknown = Reflect.get(handle, 'fd');
  return typeof fd === 'number' && fd >= 0 ? fd : undefined;
}

/** Throws SystemError where the socket has no credentials (not a Unix socket) and TypeError once it is closed. */
export function peerCredentials(socket: Socket): PeerCredentials {
  const fd = descriptorOf(socket);
  if (fd === undefined) throw new TypeError('the socket is closed');
  return credentialsOf(fd);
}

/** The same of a descriptor. */
export function credentialsOf(fd: number): PeerCredentials {
  const credentials = new Int32Array(3);
  const length = new Int32Array([12]);
  checked(
    libc().getsockopt(fd, SOL_SOCKET, SO_PEERCRED, addressOf(credentials), addressOf(length)),
    'getsockopt',
    'SO_PEERCRED',
  );
  const [pid = -1, uid = -1, gid = -1] = credentials;
  return { pid, uid: uid >>> 0, gid: gid >>> 0 };
}
