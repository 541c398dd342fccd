/** Who is connected to a socket: so many of one user and no more, and when it is full, who has waited longest goes. */

/** A connection, and how it is ended when another needs its place. */
export interface Place {
  readonly destroy: () => void;
}

export interface CrowdLimits {
  readonly ofUser: number;
  readonly ofAll: number;
}

export interface Crowd {
  /** Whether there is room for one more of the user. */
  readonly enter: (place: Place, uid: number) => boolean;
  /** The connection has sent its request: it is no longer pushed out until that is answered. */
  readonly asked: (place: Place) => void;
  /** Its answer was sent: what it does now is its own affair. */
  readonly answered: (place: Place) => void;
  readonly leave: (place: Place) => void;
}

export function createCrowd({ ofUser, ofAll }: CrowdLimits): Crowd {
  const users = new Map<Place, number>();
  /** Those for which nothing is done, in the order in which they began to wait. */
  const silent = new Set<Place>();
  const leave = (place: Place): void => {
    users.delete(place);
    silent.delete(place);
  };
  return {
    enter: (place, uid) => {
      let own = 0;
      for (const user of users.values()) if (user === uid) own += 1;
      if (own >= ofUser) return false;
      if (users.size >= ofAll) {
        const [longest] = silent;
        if (longest === undefined) return false;
        longest.destroy();
        leave(longest);
      }
      users.set(place, uid);
      silent.add(place);
      return true;
    },
    asked: (place) => void silent.delete(place),
    // SECURITY: rule manager. Many users who take their answers slowly, or not at all, do not fill the socket.
    answered: (place) => void (users.has(place) && silent.add(place)),
    leave,
  };
}
