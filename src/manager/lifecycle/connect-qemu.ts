/** Connecting to a socket on which QEMU listens, or is about to. */
import { connect, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { peerCredentials } from '../../linux/peer-credentials.ts';
import { errorCode } from '../../linux/errno.ts';

export interface ConnectOptions {
  readonly path: string;
  /** The machine's uid: whoever else answers is not its QEMU. */
  readonly uid: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Whether the process still lives; once it does not, there is no point in trying on. */
  readonly alive: () => boolean;
}

export type ConnectOutcome =
  | { readonly ok: true; readonly socket: Socket }
  | {
      readonly ok: false;
      readonly reason: 'gone' | 'aborted' | 'timed-out' | 'foreign' | 'failed';
      readonly message: string;
    };

/** QEMU makes its sockets listen while it reads its arguments; nothing tells when. */
const retryEveryMs = 3;
const notYet = new Set(['ECONNREFUSED', 'ENOENT', 'EAGAIN']);

export async function connectQemu(options: ConnectOptions): Promise<ConnectOutcome> {
  const giveUpAt = performance.now() + options.timeoutMs;
  for (;;) {
    if (options.signal.aborted) return refuse('aborted', 'the connection was given up');
    const attempt = await connectOnce(options.path);
    if ('socket' in attempt) return checkPeer(attempt.socket, options.uid);
    if (!options.alive()) return refuse('gone', 'QEMU ended before it listened');
    if (!notYet.has(attempt.code)) return refuse('failed', `${options.path}: ${attempt.code}`);
    if (performance.now() >= giveUpAt)
      return refuse('timed-out', `QEMU did not listen on ${options.path} within ${options.timeoutMs} ms`);
    await wait(retryEveryMs);
  }
}

function connectOnce(path: string): Promise<{ readonly socket: Socket } | { readonly code: string }> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.removeAllListeners('error');
      resolve({ socket });
    });
    socket.once('error', (error) => {
      resolve({ code: errorCode(error) || error.message });
    });
  });
}

function checkPeer(socket: Socket, uid: number): ConnectOutcome {
  // QEMU may end at any moment from here on; whoever owns the socket listens for more than this.
  socket.on('error', () => undefined);
  let found: number;
  try {
    found = peerCredentials(socket).uid;
  } catch (error) {
    socket.destroy();
    return refuse('gone', error instanceof Error ? error.message : String(error));
  }
  // SECURITY: rule QMP. Only the machine's own uid is taken for its QEMU.
  if (found === uid) return { ok: true, socket };
  socket.destroy();
  return refuse('foreign', `uid ${found} answers instead of the machine's own, ${uid}`);
}

function refuse(
  reason: Extract<ConnectOutcome, { ok: false }>['reason'],
  message: string,
): Extract<ConnectOutcome, { ok: false }> {
  return { ok: false, reason, message };
}
