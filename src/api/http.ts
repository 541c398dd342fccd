/**
 * HTTP/1.1 requests over a stream, such as a Unix socket: as much of it as the API needs, since `node:http` costs more to load than all
 * else that a short command does. Connections are kept and used again; each carries one request at a time.
 */
import {
  ResponseReader,
  defaultResponseLimits,
  type HttpResponse,
  type ResponseLimits,
} from './http-response.ts';
import type { Connection as Socket } from './reach.ts';

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Path and query, encoded. */
  readonly path: string;
  /** JSON text. */
  readonly body?: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** The other side is not there, went away, or does not answer in time or in HTTP. */
export class TransportError extends Error {
  readonly code: 'unreachable' | 'broken' | 'timed-out' | 'aborted';
  constructor(code: TransportError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

interface Exchange {
  readonly reader: ResponseReader;
  readonly resolve: (response: HttpResponse) => void;
  readonly reject: (error: unknown) => void;
}

/** One connection. After a failed or unfinished exchange it is destroyed. */
class Connection {
  readonly socket: Socket;
  #exchange: Exchange | undefined;
  #connected = false;

  constructor(socket: Socket, onGone: (connection: Connection) => void) {
    this.socket = socket;
    this.socket.on('connect', () => (this.#connected = true));
    this.socket.on('data', (piece: Buffer) => this.#receive((reader) => reader.push(piece)));
    this.socket.on('end', () => this.#receive((reader) => reader.end()));
    this.socket.on('error', (error) => {
      this.#fail(
        this.#connected
          ? new TransportError('broken', `the connection broke: ${error.message}`, { cause: error })
          : new TransportError('unreachable', error.message, { cause: error }),
      );
    });
    this.socket.on('close', () => {
      this.#fail(new TransportError('broken', 'the connection closed before the answer was complete'));
      onGone(this);
    });
  }

  exchange(text: string, limits: ResponseLimits): Promise<HttpResponse> {
    return new Promise((resolve, reject) => {
      this.#exchange = { reader: new ResponseReader(limits), resolve, reject };
      this.socket.ref?.();
      this.socket.write(text);
    });
  }

  abandon(error: TransportError): void {
    this.#fail(error);
  }

  #receive(read: (reader: ResponseReader) => HttpResponse | undefined): void {
    const exchange = this.#exchange;
    if (exchange === undefined) {
      this.socket.destroy();
      return;
    }
    try {
      const response = read(exchange.reader);
      if (response === undefined) return;
      this.#exchange = undefined;
      if (!response.keepAlive) this.socket.destroy();
      exchange.resolve(response);
    } catch (error) {
      this.#fail(
        new TransportError('broken', error instanceof Error ? error.message : String(error), {
          cause: error,
        }),
      );
    }
  }

  #fail(error: TransportError): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.socket.destroy();
    exchange?.reject(error);
  }
}

const requestText = (request: HttpRequest): string => {
  const start = `${request.method} ${request.path} HTTP/1.1\r\nHost: qward\r\nAccept: application/json\r\n`;
  if (request.body === undefined)
    return request.method === 'GET' ? `${start}\r\n` : `${start}Content-Length: 0\r\n\r\n`;
  const length = Buffer.byteLength(request.body);
  return `${start}Content-Type: application/json\r\nContent-Length: ${length}\r\n\r\n${request.body}`;
};

/** Requests over connections that `connect` begins. `close` ends idle connections; one in use ends with its request. */
export class HttpClient {
  readonly #connect: () => Socket;
  readonly #limits: ResponseLimits;
  readonly #idle = new Set<Connection>();

  constructor(connect: () => Socket, limits: ResponseLimits = defaultResponseLimits) {
    this.#connect = connect;
    this.#limits = limits;
  }

  /** The response, whatever its status; rejects with TransportError. */
  async request(request: HttpRequest): Promise<HttpResponse> {
    if (request.signal?.aborted === true) throw new TransportError('aborted', 'the request was given up');
    const [kept] = this.#idle;
    if (kept === undefined) return this.#send(request, this.#open());
    this.#idle.delete(kept);
    try {
      return await this.#send(request, kept);
    } catch (error) {
      // The peer closed a kept connection just then: a reading request may be sent again, another may have been done.
      const again = request.method === 'GET' && error instanceof TransportError && error.code === 'broken';
      if (!again) throw error;
      return this.#send(request, this.#open());
    }
  }

  close(): void {
    for (const connection of this.#idle) connection.socket.destroy();
    this.#idle.clear();
  }

  #open(): Connection {
    return new Connection(this.#connect(), (connection) => this.#idle.delete(connection));
  }

  async #send(request: HttpRequest, connection: Connection): Promise<HttpResponse> {
    const abort = (): void => connection.abandon(new TransportError('aborted', 'the request was given up'));
    const timer = setTimeout(
      () => connection.abandon(new TransportError('timed-out', `no answer within ${request.timeoutMs} ms`)),
      request.timeoutMs,
    );
    request.signal?.addEventListener('abort', abort, { once: true });
    try {
      const response = await connection.exchange(requestText(request), this.#limits);
      if (response.keepAlive && !connection.socket.destroyed) {
        connection.socket.unref?.();
        this.#idle.add(connection);
      }
      return response;
    } finally {
      clearTimeout(timer);
      request.signal?.removeEventListener('abort', abort);
    }
  }
}
