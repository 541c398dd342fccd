import type { Duplex } from 'node:stream';
import { CommandLedger } from './command-ledger.ts';
import type { CommandFailure, CommandResult } from './command-result.ts';
import { encodeCommand } from './encode-command.ts';
import type { EndReason } from './end-reason.ts';
import { type CountedEvent, EventQueue } from './event-queue.ts';
import { LineReader } from './line-reader.ts';
import { maxLineBytes, maxLineMs, maxOutstanding, maxTimeoutsInARow, maxUnsentBytes } from './limits.ts';
import { type QemuVersion, type QmpMessage, parseMessage } from './parse-message.ts';
import { ReadBudget } from './read-budget.ts';
import type { Fields } from './shape.ts';

export interface OpenOptions {
  /** For greeting and negotiation together. */
  readonly greetingTimeoutMs: number;
  /** Ends the opening; afterwards it has no effect. */
  readonly signal?: AbortSignal;
  /** Writes at once, with a descriptor beside the first byte; gives how many bytes were written, and throws where none was. */
  readonly sendDescriptor?: SendDescriptor;
}

export type SendDescriptor = (bytes: Buffer, descriptor: number) => number;

export interface ExecuteOptions {
  readonly timeoutMs: number;
  /** Goes with the command, for QEMU to take (`getfd`, `add-fd`); it stays the caller's to close. */
  readonly descriptor?: number;
}

export type OpenOutcome =
  | { readonly ok: true; readonly session: QmpSession }
  | { readonly ok: false; readonly reason: EndReason };

/**
 * A conversation with a QEMU that may be in the hands of its guest. It owns the socket from `open` on. Whatever the
 * peer does, nothing is thrown: commands answer, `ended` resolves, events end. Commands do not wait for each other.
 */
export class QmpSession implements AsyncDisposable {
  /** Resolves once, when the session is over. */
  readonly ended: Promise<EndReason>;
  readonly #socket: Duplex;
  readonly #lines = new LineReader();
  readonly #events = new EventQueue();
  readonly #budget = new ReadBudget(performance.now());
  readonly #ledger: CommandLedger;
  readonly #sendDescriptor: SendDescriptor | undefined;
  readonly #greeted = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<EndReason>();
  #endReason: EndReason | undefined;
  #version: QemuVersion | undefined;
  #outgoing = '';
  #eventsInChunk = 0;
  #restTimer: NodeJS.Timeout | undefined;
  #lineTimer: NodeJS.Timeout | undefined;

  private constructor(socket: Duplex, sendDescriptor: SendDescriptor | undefined) {
    this.#socket = socket;
    this.#sendDescriptor = sendDescriptor;
    this.ended = this.#ended.promise;
    this.#ledger = new CommandLedger((timeoutsInARow) => this.#onTimeout(timeoutsInARow));
    // The listeners stay for good: an error after the end must not find the socket without one.
    socket.on('error', (error) => this.#onTransportError(error));
    socket.on('end', () => this.#onPeerClosed());
    socket.on('close', () => this.#onPeerClosed());
    socket.on('data', this.#onData);
    if (socket.destroyed || socket.readableEnded) this.#onPeerClosed();
    else socket.resume();
  }

  /** Waits for the greeting on a connected socket and negotiates. On failure the socket is closed. */
  static async open(socket: Duplex, options: OpenOptions): Promise<OpenOutcome> {
    const { greetingTimeoutMs, signal } = options;
    const session = new QmpSession(socket, options.sendDescriptor);
    const abort = (): void => session.#end('aborted', 'the opening of the monitor was given up');
    const timer = setTimeout(
      () =>
        session.#end(
          'greeting-timed-out',
          `QEMU did not greet on its monitor within ${greetingTimeoutMs} ms`,
        ),
      greetingTimeoutMs,
    );
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted === true) abort();
    try {
      await Promise.race([session.#greeted.promise, session.ended]);
      const negotiated = await session.execute('qmp_capabilities', undefined, {
        timeoutMs: greetingTimeoutMs,
      });
      if (!negotiated.ok)
        session.#end('negotiation-refused', `QEMU's monitor cannot be used: ${negotiated.message}`);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
    return session.#endReason === undefined
      ? { ok: true, session }
      : { ok: false, reason: session.#endReason };
  }

  /** As the greeting says; QEMU may lie. */
  get version(): QemuVersion {
    return this.#version ?? { major: 0, minor: 0, micro: 0 };
  }

  /** Undefined while the session lasts. */
  get endReason(): EndReason | undefined {
    return this.#endReason;
  }

  /** What QEMU reports, for one reader. Ends with the session, after what had come before. */
  get events(): AsyncIterable<CountedEvent> {
    return this.#events;
  }

  /** Events thrown away because their reader was too slow. */
  get droppedEvents(): number {
    return this.#events.dropped;
  }

  /**
   * Sends one command. Commands given in one turn of the event loop leave in one write, and answers are matched by
   * id in whatever order they come. `timeoutMs` counts from now. Throws only on arguments that are not JSON.
   */
  async execute(
    command: string,
    args: Fields | undefined,
    { timeoutMs, descriptor }: ExecuteOptions,
  ): Promise<CommandResult<unknown>> {
    if (this.#endReason !== undefined) return failure('session-ended', this.#endReason.message);
    const id = this.#ledger.nextId();
    const encoded = encodeCommand(id, command, args);
    if (!encoded.ok) return failure('refused', encoded.message);
    // SECURITY: rule QMP. A QEMU that does not read or does not answer costs bounded memory.
    const unsent = this.#socket.writableLength + this.#outgoing.length + encoded.text.length;
    if (this.#ledger.outstanding >= maxOutstanding || unsent > maxUnsentBytes)
      return failure(
        'busy',
        `"${command}" was not sent: QEMU has not answered ${this.#ledger.outstanding} commands`,
      );
    if (descriptor !== undefined) {
      const refused = this.#sendWith(descriptor, encoded.text);
      if (refused !== undefined) return refused;
    } else {
      if (this.#outgoing === '') queueMicrotask(() => this.#flush());
      this.#outgoing += encoded.text;
    }
    return this.#ledger.expect(id, command, timeoutMs);
  }

  /** Closes the socket. Commands that are out answer `session-ended`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#end('disposed', 'the monitor session was closed by qward');
    if (!this.#socket.closed) await new Promise<void>((resolve) => this.#socket.once('close', resolve));
  }

  /** Past the socket's queue, in its order: all that was given before has been written. */
  #sendWith(descriptor: number, text: string): CommandFailure | undefined {
    this.#flush();
    if (this.#sendDescriptor === undefined) return failure('refused', 'this monitor takes no descriptors');
    if (this.#socket.destroyed) return failure('session-ended', 'the monitor is closed');
    const bytes = Buffer.from(text);
    try {
      if (this.#socket.writableLength > 0) return failure('busy', 'QEMU does not read its monitor');
      const written = this.#sendDescriptor(bytes, descriptor);
      if (written < bytes.length) this.#socket.write(bytes.subarray(written));
      return undefined;
    } catch (error) {
      return failure(
        'busy',
        `QEMU does not read its monitor: ${error instanceof Error ? error.message : 'unknown'}`,
      );
    }
  }

  #flush(): void {
    const outgoing = this.#outgoing;
    this.#outgoing = '';
    if (this.#endReason === undefined && outgoing !== '') this.#socket.write(outgoing);
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#endReason !== undefined) return;
    const startMs = performance.now();
    this.#eventsInChunk = 0;
    if (!this.#lines.push(chunk, this.#onLine))
      this.#end('line-too-long', `QEMU sent a line of more than ${maxLineBytes} bytes on its monitor`);
    if (this.#endReason !== undefined) return;
    this.#watchLine();
    this.#restAfter(chunk.length, startMs);
  };

  readonly #onLine = (line: Buffer): boolean => {
    clearTimeout(this.#lineTimer);
    this.#lineTimer = undefined;
    const parsed = parseMessage(line);
    if (parsed.ok) this.#onMessage(parsed.message);
    else this.#end(parsed.reason.code, parsed.reason.message);
    return this.#endReason === undefined;
  };

  #onMessage(message: QmpMessage): void {
    if ((message.kind === 'greeting') !== (this.#version === undefined)) {
      this.#end('not-qmp', 'QEMU did not begin its conversation with one greeting');
      return;
    }
    switch (message.kind) {
      case 'greeting':
        this.#version = message.version;
        this.#greeted.resolve();
        return;
      case 'event':
        this.#eventsInChunk += 1;
        this.#events.push(message.event);
        return;
      case 'return':
        this.#onReply(message.id, { ok: true, value: message.value });
        return;
      case 'error':
        this.#onReply(message.id, {
          ok: false,
          code: 'qmp-error',
          class: message.class,
          message: message.description,
        });
    }
  }

  #onReply(id: string, result: CommandResult<unknown>): void {
    if (!this.#ledger.settle(id, result))
      this.#end('wrong-id', 'QEMU answered a command that was not asked, or answered one twice');
  }

  #onTimeout(timeoutsInARow: number): void {
    if (timeoutsInARow > maxTimeoutsInARow)
      this.#end('unresponsive', `QEMU answered none of ${timeoutsInARow} commands in time`);
  }

  /** A QEMU that goes with something unread, or while we write, resets the connection. */
  #onTransportError(error: NodeJS.ErrnoException): void {
    if (error.code === 'ECONNRESET' || error.code === 'EPIPE') this.#onPeerClosed();
    else this.#end('transport-failed', `the monitor's socket failed: ${error.message}`);
  }

  #onPeerClosed(): void {
    const where = this.#lines.midLine ? ' in the middle of a line' : '';
    this.#end('peer-closed', `QEMU closed its monitor${where}`);
  }

  /** A line that drips in is given a fixed time, however often a byte of it comes. */
  #watchLine(): void {
    if (!this.#lines.midLine) return;
    this.#lineTimer ??= setTimeout(
      () => this.#end('line-stalled', `QEMU did not finish a line on its monitor within ${maxLineMs} ms`),
      maxLineMs,
    );
  }

  /** SECURITY: rule QMP. A flood is left in QEMU's own memory and takes a bounded share of our time. */
  #restAfter(bytes: number, startMs: number): void {
    const nowMs = performance.now();
    const spent = { bytes, events: this.#eventsInChunk, busyMs: nowMs - startMs };
    const restMs = this.#budget.spend(spent, nowMs);
    if (restMs === 0 || this.#restTimer !== undefined) return;
    this.#socket.pause();
    this.#restTimer = setTimeout(() => {
      this.#restTimer = undefined;
      this.#socket.resume();
    }, restMs);
  }

  #end(code: EndReason['code'], message: string): void {
    if (this.#endReason !== undefined) return;
    this.#endReason = { code, message };
    clearTimeout(this.#restTimer);
    clearTimeout(this.#lineTimer);
    this.#socket.destroy();
    this.#outgoing = '';
    this.#ledger.endAll(message);
    this.#events.close();
    this.#ended.resolve(this.#endReason);
  }
}

function failure(code: CommandFailure['code'], message: string): CommandFailure {
  return { ok: false, code, message };
}
