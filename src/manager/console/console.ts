/** The serial console of one running machine: what the guest writes goes to the scroll-back and to every watcher. */
import type { Socket } from 'node:net';
import type { ConsoleNotice } from '../../api/contract.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { ScrollBack } from './scroll-back.ts';

/** One who looks at the console; in practice a WebSocket. */
export interface ConsoleClient {
  readonly user: string;
  /** Bytes that were sent and not taken yet. */
  readonly unsent: () => number;
  readonly send: (bytes: Buffer) => void;
  readonly notice: (notice: ConsoleNotice) => void;
  readonly close: () => void;
}

export interface AttachOptions {
  readonly write: boolean;
  /** Take the right to write from whoever has it. */
  readonly steal: boolean;
  /** Begin with the scroll-back. */
  readonly replay: boolean;
  /** The offset from which on; default: all that is kept. */
  readonly from?: number | undefined;
}

/** A client's place at the console. */
export interface Seat {
  /** What the client typed; ignored where it may not write. */
  readonly type: (bytes: Buffer) => void;
  readonly leave: () => void;
}

interface Watcher {
  readonly client: ConsoleClient;
  /** Output that arrived while the scroll-back is still being sent. */
  backlog: Buffer[] | undefined;
  lost: number;
}

/** What a slow watcher may let wait; beyond it the watcher misses output, and is told. */
const maxUnsentBytes = 256 * 1024;
/** What a guest that does not read may let wait. */
const maxUnreadInputBytes = 64 * 1024;
const replayPieceBytes = 64 * 1024;

export class Console {
  readonly #scrollBack: ScrollBack;
  readonly #watchers = new Set<Watcher>();
  #writer: Watcher | undefined;
  #guest: Socket | undefined;

  constructor(scrollBack: ScrollBack) {
    this.#scrollBack = scrollBack;
  }

  /** Who may write, by user name. */
  get writer(): string | null {
    return this.#writer?.client.user ?? null;
  }

  get scrollBack(): ScrollBack {
    return this.#scrollBack;
  }

  /** Takes over a connected socket of QEMU's console. */
  connectGuest(socket: Socket): void {
    this.#guest?.destroy();
    this.#guest = socket;
    socket.on('data', (output: Buffer) => {
      this.#receive(socket, output);
    });
    socket.on('error', () => socket.destroy());
  }

  get connected(): boolean {
    return this.#guest !== undefined && !this.#guest.destroyed;
  }

  attach(client: ConsoleClient, options: AttachOptions): Outcome<Seat> {
    if (options.write && this.#writer !== undefined && !options.steal)
      return failure(
        'console-busy',
        `${this.#writer.client.user} writes to the console`,
        'watch it with --watch, or take it with --steal',
      );
    const watcher: Watcher = { client, backlog: options.replay ? [] : undefined, lost: 0 };
    this.#watchers.add(watcher);
    if (options.write) this.#takeWriter(watcher);
    const message = options.write ? 'attached' : 'attached to watch';
    const { end } = this.#scrollBack;
    const begin = options.replay ? Math.min(options.from ?? 0, end) : end;
    client.notice({ notice: 'attached', writer: options.write, message, offset: begin });
    if (options.replay) void this.#replay(watcher, begin);
    return success({
      type: (bytes) => {
        this.#type(watcher, bytes);
      },
      leave: () => {
        this.#leave(watcher);
      },
    });
  }

  /** Tells every watcher why it is over, lets them go, and keeps the scroll-back. */
  async end(message: string, goesOn = false): Promise<void> {
    this.#guest?.destroy();
    this.#guest = undefined;
    for (const { client } of this.#watchers) {
      client.notice({ notice: 'ended', writer: false, message, ...(goesOn ? { goesOn } : {}) });
      client.close();
    }
    this.#watchers.clear();
    this.#writer = undefined;
    await this.#scrollBack.close();
  }

  #receive(socket: Socket, output: Buffer): void {
    if (!this.#scrollBack.append(output)) {
      // SECURITY: rule guest. A guest that floods waits for our disk instead of filling our memory.
      socket.pause();
      void this.#scrollBack.flush().then(() => socket.resume());
    }
    for (const watcher of this.#watchers) this.#show(watcher, output);
  }

  #show(watcher: Watcher, output: Buffer): void {
    const waiting = (watcher.backlog ?? []).reduce((sum, piece) => sum + piece.length, 0);
    // SECURITY: rule HTTP. A watcher that does not read costs a bounded amount of memory.
    if (watcher.client.unsent() + waiting > maxUnsentBytes) {
      watcher.lost += output.length;
    } else if (watcher.backlog !== undefined) {
      watcher.backlog.push(output);
    } else {
      this.#tellLost(watcher, output.length);
      watcher.client.send(output);
    }
  }

  #tellLost(watcher: Watcher, next: number): void {
    if (watcher.lost === 0) return;
    const message = `${watcher.lost} bytes of output were dropped: this client was too slow`;
    watcher.lost = 0;
    // What is shown next was kept a moment ago.
    const offset = this.#scrollBack.end - next;
    watcher.client.notice({ notice: 'lost', writer: watcher === this.#writer, message, offset });
  }

  async #replay(watcher: Watcher, begin: number): Promise<void> {
    const { output: kept, lost } = await this.#scrollBack.read();
    if (lost > begin)
      watcher.client.notice({
        notice: 'lost',
        writer: watcher === this.#writer,
        message: `${lost - begin} bytes before the scroll-back are not kept any more`,
        offset: lost,
      });
    const output = kept.subarray(Math.max(0, begin - lost));
    for (let begin = 0; begin < output.length; begin += replayPieceBytes)
      watcher.client.send(output.subarray(begin, begin + replayPieceBytes));
    const backlog = watcher.backlog ?? [];
    watcher.backlog = undefined;
    if (output.length > 0)
      watcher.client.notice({
        notice: 'replayed',
        writer: watcher === this.#writer,
        message: 'what follows is new',
      });
    for (const piece of backlog) watcher.client.send(piece);
  }

  #takeWriter(watcher: Watcher): void {
    const before = this.#writer;
    this.#writer = watcher;
    before?.client.notice({
      notice: 'writer-taken',
      writer: false,
      message: `${watcher.client.user} writes to the console from now on`,
    });
  }

  #type(watcher: Watcher, bytes: Buffer): void {
    if (watcher !== this.#writer || this.#guest === undefined || this.#guest.destroyed) return;
    if (this.#guest.writableLength + bytes.length > maxUnreadInputBytes) {
      const message = `${bytes.length} bytes of input were dropped: the guest does not read its console`;
      watcher.client.notice({ notice: 'lost', writer: true, message });
    } else {
      this.#guest.write(bytes);
    }
  }

  #leave(watcher: Watcher): void {
    this.#watchers.delete(watcher);
    if (this.#writer === watcher) this.#writer = undefined;
  }
}
