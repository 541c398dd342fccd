/** Who is at the other end of each connection, and how many there may be. */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { accountOf, groupIdOf } from '../../linux/accounts.ts';
import { peerCredentials } from '../../linux/peer-credentials.ts';
import { identify, type Identity } from '../roles.ts';

const maxConnections = 1000;
/** One user cannot take all of them. */
const maxConnectionsOfUser = 200;
/** Uids without an account are let in below this number: with subordinate uids (subuid(5)) one user is 65536 of them. */
const maxConnectionsForUnknown = 300;

export interface Connections {
  /** Undefined once the connection is closed. */
  readonly identityOf: (socket: Socket) => Identity | undefined;
}

export function watchConnections(server: Server): Connections {
  const uids = new WeakMap<Socket, number>();
  const identities = new WeakMap<Socket, Identity>();
  const counts = new Map<number, number>();
  server.maxConnections = maxConnections;
  let total = 0;
  // The account is looked up only where it matters: it may cost a question to a directory service.
  const crowdedOut = (uid: number): boolean =>
    uid !== 0 && total >= maxConnectionsForUnknown && accountOf(uid) === undefined;
  server.on('connection', (socket: Socket) => {
    const uid = uidOf(socket);
    const count = counts.get(uid ?? -1) ?? 0;
    // SECURITY: rule HTTP. Any user may connect; none can keep the others out.
    if (uid === undefined || (uid !== 0 && count >= maxConnectionsOfUser) || crowdedOut(uid)) {
      socket.destroy();
      return;
    }
    uids.set(socket, uid);
    counts.set(uid, count + 1);
    total += 1;
    socket.once('close', () => {
      total -= 1;
      const left = (counts.get(uid) ?? 1) - 1;
      if (left > 0) counts.set(uid, left);
      else counts.delete(uid);
    });
  });
  return {
    identityOf: (socket) => {
      const known = identities.get(socket);
      if (known !== undefined) return known;
      const uid = uids.get(socket);
      if (uid === undefined) return undefined;
      // SECURITY: promise 4. Who calls is what the kernel says, once for the connection; nothing in a request counts.
      const identity = identify(uid, accountOf(uid), groupIdOf);
      identities.set(socket, identity);
      return identity;
    },
  };
}

function uidOf(socket: Socket): number | undefined {
  try {
    return peerCredentials(socket).uid;
  } catch {
    return undefined;
  }
}
