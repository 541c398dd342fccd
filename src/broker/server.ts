/** A socket of the broker's: one request a connection, bounded in size, in time, and in number, of each user and of all. */
import { closeSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { HiddenProfiles } from '../jail/apparmor.ts';
import { sendDescriptor } from '../linux/pass-descriptor.ts';
import { peerCredentials, type PeerCredentials } from '../linux/peer-credentials.ts';
import { protocolVersion } from '../protocol/broker.ts';
import { encodeFrame, FrameReader, maxRequestBytes } from '../protocol/frame.ts';
import { version } from '../protocol/version.ts';
import { refuse, type HandlerOutcome } from './context.ts';
import { createCrowd, type Crowd, type CrowdLimits } from './crowd.ts';
import type { BrokerLog } from './log.ts';
import { OtherProtocol } from './parse-values.ts';
import { UnusableState } from './state.ts';

const requestDeadlineMs = 5_000;
/** For a peer to take its answer and close. */
const replyDeadlineMs = 10_000;

/** Who may speak on a socket, how many at once, and what is done with what they say. */
export interface Service {
  readonly admits: (uid: number) => boolean;
  readonly limits: CrowdLimits;
  readonly log: BrokerLog;
  /** Throws where the body is no request: its connection is ended unanswered. */
  readonly answer: (body: Buffer, peer: PeerCredentials) => Promise<HandlerOutcome>;
  /** Called whenever a connection begins (+1), and when it has ended with all that it asked for (-1). */
  readonly onActivity: (change: 1 | -1) => void;
}

export function createBrokerServer(service: Service): Server {
  const crowd = createCrowd(service.limits);
  return createServer({ allowHalfOpen: true }, (socket) => serve(socket, service, crowd));
}

/** Ends a connection and logs it: turned away, one too many, too slow, or no request of the protocol. */
type Ending = (refused: 'connection' | 'crowd' | 'slow' | 'protocol', why?: string) => void;

/** Calls when the time is over, and what came while this process had no CPU was read: a host that boots has none for it for seconds. */
const afterReading = (ms: number, late: () => void): NodeJS.Timeout =>
  setTimeout(() => setImmediate(late), ms);

function serve(socket: Socket, service: Service, crowd: Crowd): void {
  socket.on('error', () => socket.destroy());
  const peer = peerCredentials(socket);
  const end: Ending = (refused, why) => {
    service.log({ refused, uid: peer.uid, pid: peer.pid, why });
    socket.destroy();
  };
  // SECURITY: promise 1. The kernel's word for who is there, whatever the socket's mode was.
  if (!service.admits(peer.uid)) return end('connection');
  const place = { destroy: () => end('crowd', 'it waited longest when no more fitted') };
  if (!crowd.enter(place, peer.uid)) return end('crowd', 'no more of this user fit');
  // SECURITY: promise 7. From here on: a broker that ends between a connection and its request would drop the request.
  service.onActivity(1);
  const leave = (): void => {
    crowd.leave(place);
    service.onActivity(-1);
  };
  const reader = new FrameReader(maxRequestBytes);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  let taken = false;
  const deadline = afterReading(requestDeadlineMs, () => {
    if (!taken && !socket.destroyed) end('slow', 'no whole request in time');
  });
  socket.once('close', () => {
    clearTimeout(deadline);
    // What was asked for counts until it is done, also where its peer has gone.
    if (!taken) leave();
  });
  socket.once('end', () => {
    if (taken) return;
    // Who says nothing at all only looked whether somebody listens.
    if (socket.bytesRead > 0) end('protocol', 'cut off');
    socket.destroy();
  });
  socket.on('data', (piece: Buffer) => {
    try {
      if (taken) throw new RangeError('bytes after the request');
      const body = reader.push(piece);
      if (body === undefined) return;
      taken = true;
      clearTimeout(deadline);
      crowd.asked(place);
      const answered = (): void => crowd.answered(place);
      void answer(socket, { body, peer, closed, answered, end }, service).finally(leave);
    } catch (error) {
      end('protocol', describe(error));
    }
  });
}

interface Question {
  readonly body: Buffer;
  readonly peer: PeerCredentials;
  readonly closed: Promise<void>;
  /** To be called when the answer was sent. */
  readonly answered: () => void;
  readonly end: Ending;
}

async function answer(
  socket: Socket,
  { body, peer, closed, answered, end }: Question,
  service: Service,
): Promise<void> {
  try {
    const reply: HandlerOutcome = await service.answer(body, peer).catch((error: unknown) => {
      if (!(error instanceof OtherProtocol)) throw error;
      service.log({ call: 'other-protocol', uid: peer.uid, pid: peer.pid, ok: false, why: error.message });
      return refuse(
        'version-differs',
        `the broker is of qward ${version} and speaks version ${protocolVersion} of its protocol; ${error.message}`,
        restartBoth,
      );
    });
    // SECURITY: rule manager. A peer that neither reads nor closes keeps neither its connection nor our memory.
    const deadline = afterReading(replyDeadlineMs, () => {
      if (!socket.destroyed) end('slow', 'it did not take its answer and close');
    });
    send(socket, reply);
    answered();
    // A broker that is to end does so after its reply has left.
    await closed;
    clearTimeout(deadline);
  } catch (error) {
    end('protocol', describe(error));
  }
}

/** A descriptor goes with the first byte of the reply, which fits whole into the empty buffer of its socket. */
function send(socket: Socket, reply: HandlerOutcome): void {
  if (!reply.ok || reply.descriptor === undefined) {
    socket.end(encodeFrame(reply));
    return;
  }
  const { descriptor, ...rest } = reply;
  const frame = encodeFrame(rest);
  try {
    if (sendDescriptor(socket, frame, descriptor) !== frame.length)
      throw new RangeError('a reply was cut short');
    socket.end();
  } finally {
    closeSync(descriptor);
  }
}

const restartBoth =
  'restart both daemons: `systemctl restart qward-broker qward-manager`, or `qward host down --leave-machines` and `qward host up`; machines run on';

/** The outcome of a handler, also of one that failed. */
export async function settled(
  handle: () => HandlerOutcome | Promise<HandlerOutcome>,
): Promise<HandlerOutcome> {
  try {
    return await handle();
  } catch (error) {
    if (error instanceof UnusableState) return refuse('state-unwritable', error.message, error.damage.cure);
    if (error instanceof HiddenProfiles) return refuse('wall-missing', error.message, error.cure);
    return refuse(
      'internal',
      `the broker failed: ${describe(error)}`,
      "please report it, with the broker's log",
    );
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown';
}
