/** The two streams of a move: the machine goes out over one, and comes in over the other. */
import type { WebSocket } from 'ws';
import { failure, success, type Outcome } from '../outcome.ts';
import type { EventHistory } from '../events.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Log } from '../log.ts';
import { isThrowawayName } from '../throwaway/throwaway-name.ts';
import { notMoved, type Move } from './arrival.ts';
import { MoveLink } from './move-link.ts';
import type { MoveLimits } from './move-run.ts';

export interface MoveStreamServices {
  readonly events: EventHistory;
  readonly log: Log;
}

type Serve = Outcome<(socket: WebSocket) => void>;

const offerMs = 60_000;

/** Away from here. */
export function openMove(
  services: MoveStreamServices,
  machine: Machine,
  { limits, ...move }: Omit<Move, 'machine'> & { readonly limits: MoveLimits },
): Serve {
  if (isThrowawayName(machine.name)) return throwaway(machine.name);
  return success((socket) => {
    void guarded(services, socket, async (link) => {
      const asked = { ...move, machine: machine.name };
      const moved = await machine.moveAway({ move: asked, limits, link });
      if (moved.ok) {
        const { peer } = move;
        services.events.emit('machine.moved', machine.name, move.by, { peer, ...moved.value });
        link.end({ kind: 'done', ...moved.value });
      } else {
        const undecided = moved.faults.some(({ code }) => code === 'migration-undecided');
        link.end({
          kind: 'ended',
          undecided,
          faults: moved.faults.map(({ code, message, hint }) => ({ code, message, hint })),
        });
      }
    });
  });
}

/** To here. */
export function openArrival(
  services: MoveStreamServices,
  machine: Machine,
  move: Omit<Move, 'machine'>,
): Serve {
  if (isThrowawayName(machine.name)) return throwaway(machine.name);
  return success((socket) => {
    void guarded(services, socket, async (link) => {
      const offer = await link.receive(['offer'], { timeoutMs: offerMs });
      const arrived = offer.ok
        ? await machine.arrive({ ...move, machine: machine.name }, offer.message, link)
        : { outcome: notMoved(offer.why), ran: false };
      // Of what is not sure yet nothing is said: the other side asks, where its guest stands still by now.
      if (!arrived.outcome.ok && arrived.ran !== undefined)
        link.send({
          kind: 'failed',
          ran: arrived.ran,
          faults: arrived.outcome.faults.slice(0, 64).map(({ code, message, hint }) => ({
            code,
            message: message.slice(0, maxWords),
            hint: hint.slice(0, maxWords),
          })),
        });
      link.end();
    });
  });
}

const maxWords = 2000;

async function guarded(
  { log }: MoveStreamServices,
  socket: WebSocket,
  work: (link: MoveLink) => Promise<void>,
): Promise<void> {
  const link = new MoveLink(socket);
  try {
    await work(link);
  } catch (error) {
    log.error('a move failed', { error });
    socket.terminate();
  }
}

const throwaway = (name: string): Outcome<never> =>
  failure(
    'request-invalid',
    `machine "${name}" is a throwaway machine, which lives where its \`qward run\` is`,
    'define a machine of your own',
  );
