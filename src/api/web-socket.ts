/** WebSocket streams over a connection to the manager. Loads `ws`, so it is itself loaded only when a stream is opened. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocket } from 'ws';
import { TransportError } from './http.ts';
import type { HttpResponse } from './http-response.ts';
import { parseTrusted } from './json.ts';
import { deferred } from './deferred.ts';

const handshakeTimeoutMs = 30_000;
const maxMessageBytes = 1024 * 1024;
const soonMs = 30_000;
const maxRefusalBytes = 64 * 1024;
/** Bytes that were written and not sent, beyond which a writer that can wait should. */
const maxUnsentBytes = 512 * 1024;
/** More messages than this, or bytes in them, that nobody has read stop the reading of the socket. */
const maxWaiting = 256;
const maxWaitingBytes = 512 * 1024;

export type StreamMessage =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'bytes'; readonly bytes: Buffer };

/** Messages as they come, and a way to write. Iteration ends when either side closes. */
export class MessageStream implements AsyncIterable<StreamMessage> {
  readonly #socket: WebSocket;
  readonly #waiting: StreamMessage[] = [];
  #waitingBytes = 0;
  #wake: (() => void) | undefined;
  #closed = false;
  #unsent = 0;
  #drain = deferred<void>();

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      this.#waiting.push(
        isBinary ? { kind: 'bytes', bytes: data } : { kind: 'text', text: data.toString('utf8') },
      );
      this.#waitingBytes += data.length;
      if (this.#waiting.length >= maxWaiting || this.#waitingBytes > maxWaitingBytes) socket.pause();
      this.#wake?.();
    });
    // 'close' follows; that the connection broke shows there.
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#end();
    });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<StreamMessage, void> {
    for (;;) {
      const message = this.#waiting.shift();
      if (message !== undefined) {
        if (this.#waiting.length === 0) this.#waitingBytes = 0;
        if (this.#waiting.length === 0 && this.#socket.isPaused) this.#socket.resume();
        yield message;
      } else if (this.#closed) {
        return;
      } else {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        this.#wake = undefined;
      }
    }
  }

  /** Resolves when the bytes were given to the system, or the stream is over. */
  send(bytes: Uint8Array): Promise<void> {
    if (this.#socket.readyState !== WebSocket.OPEN) return Promise.resolve();
    return new Promise((resolve) => {
      this.#socket.send(bytes, { binary: true }, () => resolve());
    });
  }

  /** Whoever writes much without end looks at `isFull`. */
  write(bytes: Uint8Array): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    this.#unsent += bytes.length;
    this.#socket.send(bytes, { binary: true }, () => {
      this.#unsent -= bytes.length;
      if (this.#unsent <= maxUnsentBytes / 2) this.#drained();
    });
  }

  /** The other side takes nothing: more than half a MiB waits. */
  get isFull(): boolean {
    return !this.#closed && this.#unsent > maxUnsentBytes;
  }

  /** Resolves when half of that was taken, at once where it is not full, or when the stream is over. */
  async drained(): Promise<void> {
    if (this.isFull) await this.#drain.promise;
  }

  sendText(text: string): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(text);
  }

  /** Closes when what the other side says by itself has not ended it soon. */
  closeSoon(): void {
    setTimeout(() => this.close(), soonMs).unref();
  }

  /** Closes politely, and for good after two seconds. */
  close(): void {
    this.#socket.close(1000);
    setTimeout(() => this.#socket.terminate(), 2000).unref();
    this.#end();
  }

  #drained(): void {
    this.#drain.resolve();
    this.#drain = deferred();
  }

  #end(): void {
    this.#closed = true;
    this.#wake?.();
    this.#drained();
  }
}

/** What such a stream carries: bytes, which the caller has a word for, and notices in JSON. */
export type NoticedMessage<Kind extends string, Notice> =
  | { readonly kind: Kind; readonly bytes: Uint8Array }
  | { readonly kind: 'notice'; readonly notice: Notice };

export async function* noticedMessages<Kind extends string, Notice>(
  stream: MessageStream,
  kind: Kind,
): AsyncGenerator<NoticedMessage<Kind, Notice>, void> {
  for await (const message of stream) {
    if (message.kind === 'bytes') yield { kind, bytes: message.bytes };
    else yield { kind: 'notice', notice: parseTrusted<Notice>(message.text) };
  }
}

async function readRefusal(response: IncomingMessage): Promise<HttpResponse> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    pieces.push(piece);
    length += piece.length;
    if (length > maxRefusalBytes) throw new TransportError('broken', 'a refusal that does not end');
  }
  return { status: response.statusCode ?? 0, body: Buffer.concat(pieces), keepAlive: false };
}

/** The stream, or the response with which the manager refused it; throws TransportError. */
export function openMessageStream(
  connect: () => Duplex,
  path: string,
): Promise<MessageStream | HttpResponse> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://qward${path}`, {
      createConnection: connect,
      handshakeTimeout: handshakeTimeoutMs,
      maxPayload: maxMessageBytes,
      perMessageDeflate: false,
    });
    const stream = new MessageStream(socket);
    socket.once('open', () => resolve(stream));
    socket.once('unexpected-response', (_, response: IncomingMessage) => {
      readRefusal(response).then(resolve, reject);
    });
    socket.once('error', (error) =>
      reject(new TransportError('unreachable', error.message, { cause: error })),
    );
  });
}
