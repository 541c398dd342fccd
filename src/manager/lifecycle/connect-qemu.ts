/** Connecting to a socket on which QEMU listens, or is about to. */
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { credentialsOf } from '../../linux/peer-credentials.ts';
import { connectUnixSocket } from '../../linux/unix-socket.ts';

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
    const attempt = connectUnixSocket(options.path);
    if ('fd' in attempt) return checkPeer(attempt.fd, options.uid);
    if (!options.alive()) return refuse('gone', 'QEMU ended before it listened');
    if (!notYet.has(attempt.code)) return refuse('failed', `${options.path}: ${attempt.code}`);
    if (performance.now() >= giveUpAt)
      return refuse('timed-out', `QEMU did not listen on ${options.path} within ${options.timeoutMs} ms`);
    await wait(retryEveryMs);
  }
}

function checkPeer(fd: number, uid: number): ConnectOutcome {
  const found = credentialsOf(fd).uid;
  // SECURITY: rule QMP. Only the machine's own uid is taken for its QEMU.
  if (found !== uid) {
    closeSync(fd);
    return refuse('foreign', `uid ${found} answers instead of the machine's own, ${uid}`);
  }
  const socket = new Socket({ fd });
  // QEMU may end at any moment from here on; whoever owns the socket listens for more than this.
  socket.on('error', () => undefined);
  return { ok: true, socket };
}

function refuse(
  reason: Extract<ConnectOutcome, { ok: false }>['reason'],
  message: string,
): Extract<ConnectOutcome, { ok: false }> {
  return { ok: false, reason, message };
}
