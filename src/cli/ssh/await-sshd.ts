/** Waits for an sshd that comes up with its guest. */
import { connect } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import type { SshAddress } from './ssh-address.ts';

const attemptMs = 5000;
const betweenMs = 250;

/** Whether it greeted within the time (RFC 4253, 4.2). A forward alone accepts connections as long as the machine runs. */
export async function awaitSshd(address: SshAddress, timeMs: number, signal: AbortSignal): Promise<boolean> {
  for (const giveUpAt = performance.now() + timeMs; ; await wait(betweenMs, undefined, { signal })) {
    if (await greets(address)) return true;
    if (performance.now() > giveUpAt) return false;
  }
}

function greets({ host, port }: SshAddress): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    const end = (heard: boolean): void => {
      clearTimeout(late);
      socket.destroy();
      resolve(heard);
    };
    const late = setTimeout(() => end(false), attemptMs);
    socket.once('error', () => end(false));
    socket.once('close', () => end(false));
    // One piece is enough, whatever a hostile guest sends.
    socket.once('data', (piece: Buffer) => end(piece.subarray(0, 4).toString('latin1') === 'SSH-'));
  });
}
