/** The broker's socket: one request a connection, from the manager's user or root, bounded in size, time and number. */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { peerCredentials } from '../linux/peer-credentials.ts';
import type { BrokerReply } from '../protocol/broker.ts';
import { encodeFrame, FrameReader, maxRequestBytes } from '../protocol/frame.ts';
import type { BrokerContext } from './context.ts';
import { dispatch, subjectOf } from './dispatch.ts';
import type { BrokerLog } from './log.ts';
import { parseRequest } from './parse.ts';

const maxConnections = 128;
const requestDeadlineMs = 5_000;
/** For a peer to take its answer and close. */
const replyDeadlineMs = 10_000;

/** Calls that only look: they are logged when refused. */
const quiet: ReadonlySet<string> = new Set(['status', 'probe', 'inspect']);

export interface ServerOptions {
  readonly context: BrokerContext;
  readonly log: BrokerLog;
  /** Called whenever a request begins (+1) or ends (-1). */
  readonly onActivity: (change: 1 | -1) => void;
}

export function createBrokerServer(options: ServerOptions): Server {
  const server = createServer({ allowHalfOpen: true }, (socket) => serve(socket, options));
  server.maxConnections = maxConnections;
  return server;
}

function serve(socket: Socket, options: ServerOptions): void {
  socket.on('error', () => socket.destroy());
  const peer = peerCredentials(socket);
  // SECURITY: promise 1. The kernel's word for who is there, whatever the socket's mode was.
  if (peer.uid !== options.context.managerUid && peer.uid !== 0) {
    options.log({ refused: 'connection', uid: peer.uid, pid: peer.pid });
    socket.destroy();
    return;
  }
  const reader = new FrameReader(maxRequestBytes);
  const deadline = setTimeout(() => socket.destroy(), requestDeadlineMs);
  socket.once('close', () => clearTimeout(deadline));
  socket.once('end', () => {
    if (!taken) socket.destroy();
  });
  let taken = false;
  socket.on('data', (piece: Buffer) => {
    try {
      if (taken) throw new RangeError('bytes after the request');
      const body = reader.push(piece);
      if (body === undefined) return;
      taken = true;
      clearTimeout(deadline);
      void answer(socket, body, options);
    } catch (error) {
      options.log({ refused: 'protocol', uid: peer.uid, pid: peer.pid, why: describe(error) });
      socket.destroy();
    }
  });
}

async function answer(
  socket: Socket,
  body: Buffer,
  { context, log, onActivity }: ServerOptions,
): Promise<void> {
  onActivity(1);
  try {
    const request = parseRequest(body);
    const outcome = await dispatch(context, request).catch((error: unknown) => internal(error));
    if (!outcome.ok || !quiet.has(request.call)) {
      log({
        call: request.call,
        machine: subjectOf(request),
        ok: outcome.ok,
        ...(outcome.ok ? {} : { refusals: outcome.refusals }),
      });
    }
    const reply: BrokerReply<unknown> = outcome;
    // SECURITY: rule manager. A peer that neither reads nor closes keeps neither its connection nor our memory.
    const deadline = setTimeout(() => socket.destroy(), replyDeadlineMs);
    const closed = once(socket, 'close');
    socket.end(encodeFrame(reply));
    // A broker that is to end does so after its reply has left.
    await closed;
    clearTimeout(deadline);
  } catch (error) {
    log({ refused: 'protocol', why: describe(error) });
    socket.destroy();
  } finally {
    onActivity(-1);
  }
}

function internal(error: unknown): BrokerReply<unknown> {
  return {
    ok: false,
    refusals: [
      {
        code: 'internal',
        message: `the broker failed: ${describe(error)}`,
        hint: "please report it, with the broker's log",
      },
    ],
  };
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown';
}
