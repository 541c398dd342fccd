/**
 * Who looks at the screen of one running machine. QEMU listens nowhere: for each viewer it is handed one end of a socket pair, and
 * the bytes of RFB (RFC 6143) go both ways as they are; nothing here reads them.
 */
import type { Socket } from 'node:net';
import { commands } from '../../qmp/commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import type { HandedSockets } from '../handed-sockets.ts';
import { failure, success, type Outcome } from '../outcome.ts';

/** Each costs QEMU a copy of the screen. */
export const maxViewers = 4;
export interface Viewer {
  /** Who it is, by name. */
  readonly user: string;
  /** ISO 8601. */
  readonly since: string;
}

export class Viewers {
  readonly #handed: HandedSockets;
  readonly #sockets = new Map<Socket, Viewer>();
  #count = 0;

  constructor(handed: HandedSockets) {
    this.#handed = handed;
  }

  get full(): boolean {
    return this.#sockets.size >= maxViewers;
  }

  list(): Viewer[] {
    return [...this.#sockets.values()];
  }

  /** Our end of a new connection to QEMU's VNC server. */
  async open(session: QmpSession, user: string): Promise<Outcome<Socket>> {
    this.#count += 1;
    const name = `viewer${this.#count}`;
    const viewer = { user, since: new Date().toISOString() };
    const { socket, taken } = await this.#handed.open(session, name, (opened) => {
      this.#sockets.set(opened, viewer);
      opened.once('close', () => this.#sockets.delete(opened));
    });
    const added = taken.ok ? await commands.addVncClient(session, { name }) : taken;
    if (added.ok) return success(socket);
    socket.destroy();
    return failure('monitor-failed', `QEMU did not take the viewer: ${added.message}`, 'try again');
  }

  end(): void {
    for (const socket of this.#sockets.keys()) socket.destroy();
  }
}
