/**
 * Streams stay open for hours: what their users may is looked at again, at once where grants or owners changed, and every
 * few seconds with groups and policy read anew. A stream whose right is gone ends.
 */
import type { WebSocket } from 'ws';
import type { EventHistory } from '../events.ts';
import type { Machines } from '../machines.ts';
import type { Identity } from '../roles.ts';
import { authorize, type AskedRight } from './authorize.ts';
import type { Connections } from './connections.ts';

export interface WatchedStream {
  readonly asked: AskedRight;
  /** As it was when the stream was opened. */
  readonly identity: Identity;
}

export interface StreamRights {
  readonly add: (socket: WebSocket, stream: WatchedStream) => void;
  readonly end: () => void;
}

/** Docs/roles.md names it. */
const lookEveryMs = 5000;
/** Of RFC 6455: the endpoint ends the connection since it violates its policy. */
const policyViolation = 1008;
const goneWithRights: readonly string[] = ['machine.revoked', 'machine.given'];

export function watchRights({
  machines,
  events,
  identifyAnew,
}: {
  readonly machines: Machines;
  readonly events: EventHistory;
  readonly identifyAnew: Connections['identifyAnew'];
}): StreamRights {
  const streams = new Map<WebSocket, WatchedStream>();
  const look = (): void => {
    // Many streams of one user are one question to the account database.
    const anew = new Map<number, Identity>();
    for (const [socket, { asked, identity }] of streams) {
      const now = anew.get(identity.uid) ?? identifyAnew(identity);
      anew.set(identity.uid, now);
      // SECURITY: promise 4. Nobody goes on reading or typing with a right that was taken back.
      const granted = authorize(machines, now, asked);
      if (granted.ok && (asked.name !== undefined || isSame(now, identity))) continue;
      streams.delete(socket);
      const message = 'your rights changed; connect again';
      if (asked.right === 'console') socket.send(JSON.stringify({ notice: 'ended', writer: false, message }));
      socket.close(policyViolation, message);
    }
  };
  const timer = setInterval(look, lookEveryMs);
  timer.unref();
  const unsubscribe = events.subscribe(({ event }) => {
    if (goneWithRights.includes(event)) look();
  });
  return {
    add: (socket, stream) => {
      streams.set(socket, stream);
      socket.once('close', () => streams.delete(socket));
    },
    end: () => {
      clearInterval(timer);
      unsubscribe();
    },
  };
}

/** A stream of many machines was opened for what the user was then. */
function isSame(now: Identity, before: Identity): boolean {
  const rights = ({ administrator, operator, operatesAll, definer, groups }: Identity): string =>
    JSON.stringify([
      administrator,
      operator,
      operatesAll,
      definer,
      [...groups].sort((left, right) => left - right),
    ]);
  return rights(now) === rights(before);
}
