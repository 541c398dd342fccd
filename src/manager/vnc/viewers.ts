/**
 * Who looks at the screen of one running machine. QEMU listens nowhere: for each viewer it is handed one end of a socket pair, and
 * the bytes of RFB (RFC 6143) go both ways as they are; nothing here reads them.
 */
import { closeSync, fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { socketPair } from '../../linux/pass-descriptor.ts';
import type { CommandResult } from '../../qmp/command-result.ts';
import { commands } from '../../qmp/commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import { failure, success, type Outcome } from '../outcome.ts';

/** Each costs QEMU a copy of the screen. */
export const maxViewers = 4;
/** QEMU closes its end when ours is closed; how long it may take until the audit says that it did not. */
const lingerMs = 10_000;
const busyRetries = 20;
const busyWaitMs = 50;

export interface Viewer {
  /** Who it is, by name. */
  readonly user: string;
  /** ISO 8601. */
  readonly since: string;
}

export class Viewers {
  /** Inodes of QEMU's ends; null: our end is open, else when it was closed. */
  readonly #handed = new Map<number, number | null>();
  readonly #sockets = new Map<Socket, Viewer>();
  #count = 0;

  get full(): boolean {
    return this.#sockets.size >= maxViewers;
  }

  list(): Viewer[] {
    return [...this.#sockets.values()];
  }

  /** The sockets that QEMU has from here, or had just now. */
  handedSockets(): readonly number[] {
    const now = performance.now();
    for (const [inode, closedAt] of this.#handed)
      if (closedAt !== null && now - closedAt > lingerMs) this.#handed.delete(inode);
    return [...this.#handed.keys()];
  }

  /** Our end of a new connection to QEMU's VNC server. */
  async open(session: QmpSession, user: string): Promise<Outcome<Socket>> {
    const [ours, theirs] = socketPair();
    const inode = fstatSync(theirs).ino;
    this.#handed.set(inode, null);
    const socket = new Socket({ fd: ours });
    this.#sockets.set(socket, { user, since: new Date().toISOString() });
    socket.on('error', () => socket.destroy());
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#handed.set(inode, performance.now());
    });
    this.#count += 1;
    const taken = await handOver(session, `viewer${this.#count}`, theirs).finally(() => closeSync(theirs));
    if (taken.ok) return success(socket);
    socket.destroy();
    return taken;
  }

  end(): void {
    for (const socket of this.#sockets.keys()) socket.destroy();
  }
}

/** A command with a descriptor is refused while others wait to be written: it is given again. */
export async function whenFree<Value>(
  give: () => Promise<CommandResult<Value>>,
): Promise<CommandResult<Value>> {
  let given = await give();
  for (let times = 0; !given.ok && given.code === 'busy' && times < busyRetries; times += 1) {
    await wait(busyWaitMs);
    given = await give();
  }
  return given;
}

async function handOver(session: QmpSession, name: string, descriptor: number): Promise<Outcome<undefined>> {
  const given = await whenFree(() => commands.getDescriptor(session, { name }, { descriptor }));
  const taken = given.ok ? await commands.addVncClient(session, { name }) : given;
  return taken.ok
    ? success(undefined)
    : failure('monitor-failed', `QEMU did not take the viewer: ${taken.message}`, 'try again');
}
