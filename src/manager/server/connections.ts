/** Who is at the other end of each connection, and how many there may be. */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { accountOf, groupIdOf } from '../../linux/accounts.ts';
import { peerCredentials, type PeerCredentials } from '../../linux/peer-credentials.ts';
import type { Policy } from '../../policy/policy.ts';
import { identify, type Caller, type Identity } from '../roles.ts';

const maxConnections = 1000;
/** One user cannot take all of them. */
const maxConnectionsOfUser = 200;
/** Uids without an account are let in below this number: with subordinate uids (subuid(5)) one user is 65536 of them. */
const maxConnectionsForUnknown = 300;

export interface Connections {
  /** By the policy of now, and the account as it was at the connection's first call. Undefined once it is closed. */
  readonly identityOf: (socket: Socket) => Identity | undefined;
  /** The same user, read anew. */
  readonly identifyAnew: (identity: Identity) => Identity;
}

/** `policy`: the one of now, which says what the groups mean. */
export function watchConnections(server: Server, policy: () => Policy): Connections {
  const peers = new WeakMap<Socket, PeerCredentials>();
  const known = new WeakMap<Socket, Known>();
  const counts = new Map<number, number>();
  server.maxConnections = maxConnections;
  let total = 0;
  // The account is looked up only where it matters: it may cost a question to a directory service.
  const crowdedOut = (uid: number): boolean =>
    uid !== 0 && total >= maxConnectionsForUnknown && accountOf(uid) === undefined;
  server.on('connection', (socket: Socket) => {
    const peer = peerOf(socket);
    const uid = peer?.uid;
    const count = counts.get(uid ?? -1) ?? 0;
    // SECURITY: rule HTTP. Any user may connect; none can keep the others out.
    if (
      peer === undefined ||
      uid === undefined ||
      (uid !== 0 && count >= maxConnectionsOfUser) ||
      crowdedOut(uid)
    ) {
      socket.destroy();
      return;
    }
    peers.set(socket, peer);
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
      const current = policy();
      const before = known.get(socket);
      if (before?.policy === current) return before.identity;
      const peer = peers.get(socket);
      if (peer === undefined) return undefined;
      const { uid, pid } = peer;
      // SECURITY: promise 4. Who calls is what the kernel says, once for the connection; nothing in a request counts.
      const caller = before?.caller ?? { uid, pid, account: accountOf(uid) };
      const identity = identify(caller, current, groupIdOf);
      known.set(socket, { caller, policy: current, identity });
      return identity;
    },
    identifyAnew: ({ uid, pid }) => identify({ uid, pid, account: accountOf(uid) }, policy(), groupIdOf),
  };
}

interface Known {
  readonly caller: Caller;
  readonly policy: Policy;
  readonly identity: Identity;
}

function peerOf(socket: Socket): PeerCredentials | undefined {
  try {
    return peerCredentials(socket);
  } catch {
    return undefined;
  }
}
