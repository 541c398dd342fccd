/**
 * The way to the other manager, over a client's WebSocket: messages in text frames, the memory in binary ones.
 * SECURITY: rule peer. Who is at the other end is not known: each message is held against its form, only one that is waited for
 * is taken, bytes only where something takes them, and no more waits here than is bounded.
 */
import type { WebSocket } from 'ws';
import { moveMessage, type MoveEnd, type MoveMessage } from '../../api/migration-contract.ts';
import { Inbox } from './inbox.ts';

type Kind = MoveMessage['kind'];
type Of<Name extends Kind> = Extract<MoveMessage, { readonly kind: Name }>;

export type Received<Name extends Kind> =
  | { readonly ok: true; readonly message: Of<Name> }
  | { readonly ok: false; readonly why: string };

const maxWaiting = 8;
const [normal, violation] = [1000, 1008];

export class MoveLink {
  readonly #socket: WebSocket;
  readonly #messages = new Inbox<MoveMessage>();
  readonly #closed = new AbortController();
  #sink: ((bytes: Buffer) => boolean) | undefined;
  #why = 'the connection to the other host ended';

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data, isBinary) => {
      if (!Buffer.isBuffer(data)) this.#violated('it sends what is no frame of this protocol');
      else if (isBinary) this.#bytes(data);
      else this.#text(data.toString('utf8'));
    });
    socket.once('close', () => {
      this.#closed.abort();
      this.#messages.end();
    });
    if (socket.readyState !== socket.OPEN) this.#closed.abort();
  }

  /** Fires when nothing more comes, and nothing that is sent arrives. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  get why(): string {
    return this.#why;
  }

  /** False: it was not sent, and does not arrive. */
  send(message: MoveMessage): boolean {
    const open = this.#isOpen;
    if (open) this.#socket.send(JSON.stringify(message));
    return open;
  }

  /** The memory; resolves when the system has it. */
  async sendBytes(bytes: Buffer): Promise<void> {
    if (!this.#isOpen) return;
    await new Promise<void>((sent) => {
      this.#socket.send(bytes, { binary: true }, () => sent());
    });
  }

  /** Where bytes go from now on; it gives false where no more may come until `drained`. Undefined: there must be none. */
  set sink(sink: ((bytes: Buffer) => boolean) | undefined) {
    this.#sink = sink;
    if (sink === undefined) this.drained();
  }

  drained(): void {
    if (this.#socket.isPaused) this.#socket.resume();
  }

  /** The next message, which must be one of these. */
  async receive<Name extends Kind>(
    kinds: readonly Name[],
    { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<Received<Name>> {
    const message = await this.#messages.next(timeoutMs, signal);
    if (message === 'late')
      return { ok: false, why: `the other host said nothing for ${timeoutMs / 1000} s` };
    if (message === 'aborted') return { ok: false, why: 'it was given up' };
    if (message === undefined) return { ok: false, why: this.#why };
    if (isOneOf(message, kinds)) return { ok: true, message };
    this.#violated(`it sent "${message.kind}" where ${kinds.join(' or ')} was expected`);
    return { ok: false, why: this.#why };
  }

  /** A message that is there already, though none is waited for. */
  get early(): Kind | undefined {
    return this.#messages.first?.kind;
  }

  end(last?: MoveEnd): void {
    if (last !== undefined && this.#isOpen) this.#socket.send(JSON.stringify(last));
    this.#sink = undefined;
    this.drained();
    this.#socket.close(normal);
  }

  get #isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  #bytes(bytes: Buffer): void {
    if (this.#sink === undefined) this.#violated('it sends memory that nobody asked for');
    else if (!this.#sink(bytes)) this.#socket.pause();
  }

  #text(text: string): void {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      value = undefined;
    }
    const parsed = moveMessage.safeParse(value);
    if (!parsed.success) this.#violated('it sends what is no message of this protocol');
    else if (this.#messages.length >= maxWaiting) this.#violated('it sends too many messages');
    else this.#messages.push(parsed.data);
  }

  #violated(why: string): void {
    this.#why = `the other host does not keep to the protocol: ${why}`;
    this.#socket.close(violation, why.slice(0, 100));
    this.#socket.terminate();
  }
}

function isOneOf<Name extends Kind>(message: MoveMessage, kinds: readonly Name[]): message is Of<Name> {
  return kinds.some((kind) => kind === message.kind);
}
