/** The sockets without a path that one running QEMU was handed by descriptor: viewers, saved states. The audit expects just these. */
import { closeSync, fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { socketPair } from '../linux/pass-descriptor.ts';
import type { CommandResult } from '../qmp/command-result.ts';
import { commands } from '../qmp/commands.ts';
import type { QmpSession } from '../qmp/session.ts';

/** QEMU closes its end when ours is closed; how long it may take until the audit says that it did not. */
const lingerMs = 10_000;
const busyRetries = 20;
const busyWaitMs = 50;

export class HandedSockets {
  /** Inodes of QEMU's ends; null: our end is open, else when it was closed. */
  readonly #handed = new Map<number, number | null>();

  /** Those that QEMU has from here, or had just now. */
  inodes(): readonly number[] {
    const now = performance.now();
    for (const [inode, closedAt] of this.#handed)
      if (closedAt !== null && now - closedAt > lingerMs) this.#handed.delete(inode);
    return [...this.#handed.keys()];
  }

  /** QEMU keeps one end of a new pair under this name; ours is in the result, however it goes. `onOpened` is called at once. */
  async open(
    session: QmpSession,
    name: string,
    onOpened: (socket: Socket) => void = () => undefined,
  ): Promise<{ readonly socket: Socket; readonly taken: CommandResult<unknown> }> {
    const [ours, theirs] = socketPair();
    const inode = fstatSync(theirs).ino;
    this.#handed.set(inode, null);
    const socket = new Socket({ fd: ours });
    socket.on('error', () => socket.destroy());
    socket.once('close', () => this.#handed.set(inode, performance.now()));
    onOpened(socket);
    const taken = await whenFree(() =>
      commands.getDescriptor(session, { name }, { descriptor: theirs }),
    ).finally(() => closeSync(theirs));
    return { socket, taken };
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
