/** A QMP client for tests that also passes descriptors (SCM_RIGHTS), which the program's own sessions do not do yet. */
import { once } from 'node:events';
import { dlopen, getRawPointer } from 'node:ffi';
import { connect, type Socket } from 'node:net';
import { createInterface, type Interface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import { descriptorOf } from '../../src/linux/peer-credentials.ts';
import { patienceMs } from './patience.ts';

/** Connects as soon as QEMU listens. */
export async function connectWhenListening(path: string, timeoutMs: number): Promise<Socket> {
  for (const giveUpAt = performance.now() + timeoutMs; ; await wait(5)) {
    const socket = connect(path);
    try {
      await once(socket, 'connect');
      // QEMU's end resets the connection where something was left unread.
      socket.on('error', () => undefined);
      return socket;
    } catch (error) {
      if (performance.now() > giveUpAt) throw error;
    }
  }
}

interface Message {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
  readonly event?: string;
}

export class RawMonitor implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #lines: Interface;
  readonly #incoming: AsyncIterator<string>;
  readonly #events: string[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#lines = createInterface({ input: socket });
    this.#incoming = this.#lines[Symbol.asyncIterator]();
  }

  static async open(path: string, timeoutMs = patienceMs): Promise<RawMonitor> {
    const monitor = new RawMonitor(await connectWhenListening(path, timeoutMs));
    await monitor.#next();
    await monitor.execute('qmp_capabilities');
    return monitor;
  }

  /** The command's result; throws QEMU's own words. `fd` goes with it. */
  async execute(command: string, args: object = {}, fd?: number): Promise<unknown> {
    const text = `${JSON.stringify({ execute: command, arguments: args })}\n`;
    if (fd === undefined) this.#socket.write(text);
    else sendDescriptor(descriptorOf(this.#socket) ?? -1, text, fd);
    for (;;) {
      const message = await this.#next();
      if (message.error !== undefined) throw new Error(`${command}: ${message.error.desc}`);
      if (message.event === undefined) return message.return;
      this.#events.push(message.event);
    }
  }

  /** Waits for an event, or takes one that came before. */
  async waitFor(event: string): Promise<void> {
    for (;;) {
      const index = this.#events.indexOf(event);
      if (index >= 0) {
        this.#events.splice(index, 1);
        return;
      }
      const message = await this.#next();
      if (message.event !== undefined) this.#events.push(message.event);
    }
  }

  async #next(): Promise<Message> {
    const timeout = wait(20_000, undefined, { ref: false }).then(() => {
      throw new Error('QEMU says nothing for 20 s');
    });
    const line = await Promise.race([this.#incoming.next(), timeout]);
    if (line.done === true) throw new Error('QEMU closed its monitor');
    return JSON.parse(line.value) as Message;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#lines.close();
    this.#socket.destroy();
    await Promise.resolve();
  }
}

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;

/** sendmsg(2), cmsg(3): one message with one descriptor. */
function sendDescriptor(socket: number, text: string, fd: number): void {
  const { functions } = dlopen(null, {
    sendmsg: { arguments: ['i32', 'pointer', 'i32'], return: 'i64' },
  });
  const body = Buffer.from(text);
  const vector = new BigUint64Array([getRawPointer(body), BigInt(body.length)]);
  const control = Buffer.alloc(24);
  control.writeBigUInt64LE(20n, 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  control.writeInt32LE(fd, 16);
  const header = new BigUint64Array([
    0n,
    0n,
    getRawPointer(vector),
    1n,
    getRawPointer(control),
    BigInt(control.length),
    0n,
  ]);
  const sent = functions.sendmsg(socket, getRawPointer(header), 0);
  if (Number(sent) !== body.length) throw new Error(`sendmsg: ${sent}`);
}
