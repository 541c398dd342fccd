/** Bytes between a client's WebSocket and the port of a guest, both ways, unread and bounded: who does not take waits. */
import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';

/** What one side has not taken yet; beyond it nothing more is read from the other. */
const maxWaitingBytes = 512 * 1024;

/** Ends when either side does. `first` is what the guest said already. */
export async function relay(guest: Socket, client: WebSocket, first: Buffer): Promise<void> {
  // SECURITY: rule guest. A guest that floods a client that does not read, or the reverse, costs this much memory.
  const onward = (piece: Buffer): void => {
    client.send(piece, { binary: true }, () => {
      if (guest.isPaused() && client.bufferedAmount < maxWaitingBytes / 2) guest.resume();
    });
    if (client.bufferedAmount > maxWaitingBytes) guest.pause();
  };
  const back = (data: unknown, isBinary: boolean): void => {
    if (!isBinary || !Buffer.isBuffer(data)) return;
    guest.write(data);
    if (guest.writableLength > maxWaitingBytes) client.pause();
  };
  const drained = (): void => {
    if (client.isPaused) client.resume();
  };
  if (first.length > 0) onward(first);
  guest.on('data', onward);
  guest.on('drain', drained);
  client.on('message', back);
  guest.resume();
  try {
    await new Promise<void>((resolve) => {
      guest.once('close', () => resolve());
      client.once('close', () => resolve());
    });
  } finally {
    guest.off('data', onward);
    guest.off('drain', drained);
    client.off('message', back);
  }
}
