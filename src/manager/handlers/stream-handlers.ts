/** The streams: events, the history, the serial console, the screen, and files of the guest. */
import type { WebSocket } from 'ws';
import type { MachineEvent } from '../../api/contract.ts';
import type { ConsoleClient, Seat } from '../console/console.ts';
import type { EventHistory } from '../events.ts';
import type { History } from '../history/history.ts';
import { openGuestFile } from '../guest/transfer-file.ts';
import { followHistory } from './history-handlers.ts';
import type { Log } from '../log.ts';
import type { Machines } from '../machines.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { seesAll, type Identity } from '../roles.ts';
import { openThrowaway, type ThrowawayStreamServices } from '../throwaway/serve-throwaway.ts';
import { openArrival, openMove } from '../migration/serve-move.ts';
import { openViewer } from '../vnc/serve-viewer.ts';
import type { StreamHandlers } from '../server/streams.ts';

export interface StreamServices extends ThrowawayStreamServices {
  readonly machines: Machines;
  readonly log: Log;
  readonly events: EventHistory;
  readonly history: History;
}

/** A listener that does not read is let go: it may come back and look at the state instead. */
const maxUnsentEventBytes = 1024 * 1024;
const goingAway = 1001;
const tooSlow = 1008;

export function createStreamHandlers(services: StreamServices): StreamHandlers {
  const { machines, events, history } = services;
  return {
    events: ({ identity, query }) =>
      success((socket) => {
        streamEvents(socket, { machines, events, identity, recent: query.recent });
      }),
    historyFollow: ({ identity, query }) =>
      success((socket) => {
        followHistory(socket, { history, identity, query });
      }),
    vnc: ({ identity, machine }) => openViewer(machine, identity.user),
    migrate: ({ identity, machine, query: { token, peer, ...limits } }) =>
      openMove(services, machine, { token, peer, limits, by: identity.user }),
    arrive: ({ identity, machine, query }) => openArrival(services, machine, { ...query, by: identity.user }),
    run: ({ identity }) => openThrowaway(services, identity),
    guestFile: ({ machine, query }) => openGuestFile(machine, query),
    console: ({ identity, machine, query }) => {
      const { run } = machine;
      if (run === undefined)
        return failure(
          'machine-not-running',
          `machine "${machine.name}" does not run`,
          `start it (\`qward start ${machine.name}\`), or read what was kept with \`qward console --log ${machine.name}\``,
        );
      if (run.launched.sockets.console === undefined)
        return failure(
          'request-invalid',
          `machine "${machine.name}" has no serial console`,
          'set `console: true` in its definition',
        );
      const write = query.mode === 'write';
      if (write && run.console.writer !== null && !query.steal) return busy(machine.name, run.console.writer);
      return success((socket) => {
        const client = clientOf(socket, identity);
        const seat = run.console.attach(client, {
          write,
          steal: query.steal,
          replay: query.replay,
          from: query.from,
        });
        // Another took the place between the question above and the end of the handshake.
        if (seat.ok) serveSeat(socket, seat.value);
        else socket.close(tooSlow, seat.faults[0]?.message.slice(0, 100));
      });
    },
  };
}

function busy(machine: string, writer: string): Outcome<never> {
  return failure(
    'console-busy',
    `${writer} writes to the console of machine "${machine}"`,
    'watch it with --watch, or take it with --steal',
  );
}

interface EventWatch extends Pick<StreamServices, 'machines' | 'events'> {
  readonly identity: Identity;
  readonly recent: number;
}

function streamEvents(socket: WebSocket, { machines, events, identity, recent }: EventWatch): void {
  // What was seen before is still told when it is gone: `machine.removed` has no machine any more.
  const seen = new Set(machines.visibleTo(identity).map(({ name }) => name));
  const visible = (name: string | null): boolean => {
    if (name === null) return seesAll(identity);
    const machine = machines.get(name);
    if (machine === undefined) return seen.has(name) || seesAll(identity);
    const may = machines.may(identity, 'see', machine);
    if (may) seen.add(name);
    else seen.delete(name);
    return may;
  };
  const tell = (event: MachineEvent): void => {
    if (!visible(event.machine)) return;
    if (socket.bufferedAmount > maxUnsentEventBytes) socket.close(tooSlow, 'this client is too slow');
    else socket.send(JSON.stringify(event));
  };
  // SECURITY: promise 4. A name that was free again may have been another user's machine before.
  const past = seesAll(identity) ? events.recent(recent) : events.recentOfPresent(recent);
  for (const event of past) tell(event);
  const end = events.subscribe(tell);
  socket.once('close', end);
}

function clientOf(socket: WebSocket, identity: Identity): ConsoleClient {
  return {
    user: identity.user,
    unsent: () => socket.bufferedAmount,
    send: (bytes) => {
      socket.send(bytes, { binary: true });
    },
    notice: (notice) => {
      socket.send(JSON.stringify(notice));
    },
    close: () => {
      socket.close(goingAway);
    },
  };
}

function serveSeat(socket: WebSocket, seat: Seat): void {
  socket.on('message', (data, isBinary) => {
    if (isBinary && Buffer.isBuffer(data)) seat.type(data);
  });
  socket.once('close', seat.leave);
}
