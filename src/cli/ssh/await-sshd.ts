/** Waits for an sshd that comes up with its guest. */
import { connect } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import type { SshAddress } from './ssh-address.ts';

/** A guest without KVM on a busy host needs seconds from the connection to the greeting. */
const attemptMs = 20_000;
/** A connection from before the guest's network was up may hang: others are begun meanwhile, seven at once at most. */
const betweenMs = 3000;
const afterRefusalMs = 250;

/** Whether it greeted within the time (RFC 4253, 4.2). A forward alone accepts connections as long as the machine runs. */
export async function awaitSshd(address: SshAddress, timeMs: number, signal: AbortSignal): Promise<boolean> {
  const heard = new AbortController();
  const over = AbortSignal.any([signal, heard.signal]);
  for (const giveUpAt = performance.now() + timeMs; performance.now() < giveUpAt;) {
    const attempt = greets(address, over).then((greeted) => {
      if (greeted) heard.abort();
      return greeted;
    });
    const next = Math.min(betweenMs, Math.max(0, giveUpAt - performance.now()));
    await Promise.race([attempt, wait(next)]);
    if (heard.signal.aborted) return true;
    signal.throwIfAborted();
    await wait(afterRefusalMs, undefined, { signal });
    if (heard.signal.aborted) return true;
  }
  heard.abort();
  return false;
}

function greets({ host, port }: SshAddress, over: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    // As a client of ssh does: either side may be the first (RFC 4253, 4.2), and some forwards wait for this one.
    socket.write('SSH-2.0-qward\r\n');
    const end = (heard: boolean): void => {
      clearTimeout(late);
      over.removeEventListener('abort', leave);
      socket.destroy();
      resolve(heard);
    };
    const leave = (): void => end(false);
    const late = setTimeout(leave, attemptMs);
    over.addEventListener('abort', leave, { once: true });
    socket.once('error', leave);
    socket.once('close', leave);
    // One piece is enough, whatever a hostile guest sends.
    socket.once('data', (piece: Buffer) => end(piece.subarray(0, 4).toString('latin1') === 'SSH-'));
  });
}
