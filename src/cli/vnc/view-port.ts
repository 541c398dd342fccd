/** Where a viewer connects: a port of the loopback interface, or a Unix socket; for this user's processes alone, one at a time. */
import { chmodSync, statSync, unlinkSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { errnoText } from '../../api/errno-text.ts';
import { uidOfPeer } from './peer-of-port.ts';

export type Place = { readonly path: string } | { readonly port: number };

export interface ViewPort {
  /** What viewers are told: `vnc://127.0.0.1:PORT`, or the path. */
  readonly address: string;
  readonly close: () => void;
}

/** Rejects with a message for people where it cannot listen. `refused` is told who else came. */
export async function openViewPort(
  place: Place,
  onViewer: (socket: Socket) => void,
  refused: (why: string) => void,
): Promise<ViewPort> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    const { remotePort, localPort } = socket;
    // SECURITY: promise 4. Every user of the host can connect to a port: only those processes are let in that are the user's own.
    if ('port' in place && uidOfPeer(remotePort ?? 0, localPort ?? 0) !== process.getuid?.()) {
      socket.destroy();
      refused('a process of another user came, and was sent away');
      return;
    }
    onViewer(socket);
  });
  await listen(server, place);
  const bound = server.address();
  const address =
    'path' in place ? place.path : `vnc://127.0.0.1:${typeof bound === 'object' ? (bound?.port ?? 0) : 0}`;
  return {
    address,
    close: () => {
      server.close();
      if ('path' in place) removeSocket(place.path);
    },
  };
}

function listen(server: Server, place: Place): Promise<void> {
  return new Promise((resolve, reject) => {
    const where = 'path' in place ? place.path : `127.0.0.1:${place.port}`;
    server.once('error', (error) => reject(new Error(`${where} cannot be listened on: ${errnoText(error)}`)));
    if ('port' in place) {
      server.listen(place.port, '127.0.0.1', () => resolve());
      return;
    }
    const umask = process.umask(0o177);
    try {
      server.listen(place.path, () => {
        // SECURITY: promise 4. Nobody else connects: the mode counts on connect(2), and held from the bind on.
        chmodSync(place.path, 0o600);
        resolve();
      });
    } finally {
      process.umask(umask);
    }
  });
}

function removeSocket(path: string): void {
  try {
    if (statSync(path).isSocket()) unlinkSync(path);
  } catch {
    // Closing the server has removed it.
  }
}
