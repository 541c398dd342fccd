/** Who is connected to a socket: so many of one user and no more, and when it is full, who has waited longest goes. */
import type { Socket } from 'node:net';

export interface CrowdLimits {
  readonly ofUser: number;
  readonly ofAll: number;
}

export interface Crowd {
  /** Whether there is room for one more of the user. */
  readonly enter: (socket: Socket, uid: number) => boolean;
  /** The connection has sent its request: it is no longer pushed out until that is answered. */
  readonly asked: (socket: Socket) => void;
  /** Its answer was sent: what it does now is its own affair. */
  readonly answered: (socket: Socket) => void;
  readonly leave: (socket: Socket) => void;
}

export function createCrowd({ ofUser, ofAll }: CrowdLimits): Crowd {
  const users = new Map<Socket, number>();
  /** Those for which nothing is done, in the order in which they began to wait. */
  const silent = new Set<Socket>();
  const leave = (socket: Socket): void => {
    users.delete(socket);
    silent.delete(socket);
  };
  return {
    enter: (socket, uid) => {
      let own = 0;
      for (const user of users.values()) if (user === uid) own += 1;
      if (own >= ofUser) return false;
      if (users.size >= ofAll) {
        const [longest] = silent;
        if (longest === undefined) return false;
        longest.destroy();
        leave(longest);
      }
      users.set(socket, uid);
      silent.add(socket);
      return true;
    },
    asked: (socket) => void silent.delete(socket),
    // SECURITY: rule manager. Many users who take their answers slowly, or not at all, do not fill the socket.
    answered: (socket) => void (users.has(socket) && silent.add(socket)),
    leave,
  };
}
