/** Reads one HTTP/1.1 response from pieces of a stream (RFC 9112), with every length bounded. Pure. */

export interface HttpResponse {
  readonly status: number;
  readonly body: Buffer;
  /** Whether the connection may carry another request. */
  readonly keepAlive: boolean;
}

export interface ResponseLimits {
  readonly headBytes: number;
  readonly bodyBytes: number;
}

export const defaultResponseLimits: ResponseLimits = { headBytes: 16 * 1024, bodyBytes: 64 * 1024 * 1024 };

/** The peer does not speak HTTP as a qward manager does. */
export class ResponseFault extends Error {}

interface Head {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly keepAlive: boolean;
}

/** What is still expected of the body. `length`: that many bytes. `close`: whatever comes until the peer closes. */
type Body =
  | { readonly kind: 'length' | 'chunk'; readonly left: number }
  | { readonly kind: 'close' | 'chunk-size' | 'chunk-end' | 'trailer' };

const maxLineBytes = 1024;

function parseHead(text: string): Head {
  const [first = '', ...lines] = text.split('\r\n');
  const status = /^HTTP\/1\.([01]) (\d{3})(?: |$)/.exec(first);
  if (status === null) throw new ResponseFault(`not an HTTP response: ${JSON.stringify(first.slice(0, 80))}`);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const header = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line);
    if (header?.[1] === undefined || header[2] === undefined)
      throw new ResponseFault('a header line without a name');
    const name = header[1].toLowerCase();
    if (headers.has(name) && (name === 'content-length' || name === 'transfer-encoding'))
      throw new ResponseFault(`two ${name} headers`);
    headers.set(name, header[2]);
  }
  const keepAlive = status[1] === '1' && headers.get('connection')?.toLowerCase() !== 'close';
  return { status: Number(status[2]), headers, keepAlive };
}

function bodyOf(head: Head, limit: number): Body {
  if (head.status === 204 || head.status === 304) return { kind: 'length', left: 0 };
  const length = head.headers.get('content-length');
  const coding = head.headers.get('transfer-encoding');
  if (coding !== undefined) {
    if (length !== undefined || coding.toLowerCase() !== 'chunked')
      throw new ResponseFault('a transfer coding other than chunked alone');
    return { kind: 'chunk-size' };
  }
  if (length === undefined) return { kind: 'close' };
  if (!/^\d{1,15}$/.test(length)) throw new ResponseFault('a content-length that is not a number');
  if (Number(length) > limit)
    throw new ResponseFault(`a body of ${length} bytes, at most ${limit} are accepted`);
  return { kind: 'length', left: Number(length) };
}

/** `push` each piece, `end` when the peer closed; both give the response once it is complete, and throw ResponseFault. */
export class ResponseReader {
  readonly #limits: ResponseLimits;
  #unread: Buffer = Buffer.alloc(0);
  #head: Head | undefined;
  #body: Body = { kind: 'close' };
  readonly #pieces: Buffer[] = [];
  #received = 0;

  constructor(limits: ResponseLimits = defaultResponseLimits) {
    this.#limits = limits;
  }

  push(piece: Buffer): HttpResponse | undefined {
    this.#unread = this.#unread.length === 0 ? piece : Buffer.concat([this.#unread, piece]);
    while (this.#head === undefined) {
      const head = this.#takeHead();
      if (head === undefined) return undefined;
      // 100 and 103 come before the response proper.
      if (head.status < 200) continue;
      this.#head = head;
      this.#body = bodyOf(head, this.#limits.bodyBytes);
    }
    return this.#takeBody(this.#head);
  }

  end(): HttpResponse {
    if (this.#head === undefined || this.#body.kind !== 'close')
      throw new ResponseFault('the connection closed in the middle of a response');
    return { status: this.#head.status, body: Buffer.concat(this.#pieces), keepAlive: false };
  }

  #takeHead(): Head | undefined {
    const end = this.#unread.indexOf('\r\n\r\n');
    if ((end === -1 ? this.#unread.length : end) > this.#limits.headBytes)
      throw new ResponseFault(`headers of more than ${this.#limits.headBytes} bytes`);
    if (end === -1) return undefined;
    const head = parseHead(this.#unread.toString('latin1', 0, end));
    this.#unread = this.#unread.subarray(end + 4);
    return head;
  }

  #takeBody(head: Head): HttpResponse | undefined {
    for (;;) {
      const body = this.#body;
      if (body.kind === 'length' || body.kind === 'chunk') {
        const left = body.left - this.#take(body.left);
        if (left > 0) {
          this.#body = { kind: body.kind, left };
          return undefined;
        }
        if (body.kind === 'length') return this.#complete(head);
        this.#body = { kind: 'chunk-end' };
      } else if (body.kind === 'close') {
        this.#take(this.#unread.length);
        return undefined;
      } else {
        const line = this.#takeLine();
        if (line === undefined) return undefined;
        if (body.kind === 'trailer' && line === '') return this.#complete(head);
        this.#body = this.#afterLine(body.kind, line);
      }
    }
  }

  #afterLine(kind: 'chunk-size' | 'chunk-end' | 'trailer', line: string): Body {
    if (kind === 'trailer') return { kind };
    if (kind === 'chunk-end') {
      if (line !== '') throw new ResponseFault('a chunk that is longer than announced');
      return { kind: 'chunk-size' };
    }
    const size = /^([0-9a-fA-F]{1,8})[ \t]*(?:;|$)/.exec(line);
    if (size?.[1] === undefined) throw new ResponseFault('a chunk without a size');
    const left = Number.parseInt(size[1], 16);
    return left === 0 ? { kind: 'trailer' } : { kind: 'chunk', left };
  }

  /** Moves at most `count` bytes to the body. */
  #take(count: number): number {
    const piece = this.#unread.subarray(0, count);
    this.#unread = this.#unread.subarray(piece.length);
    if (piece.length > 0) this.#pieces.push(piece);
    this.#received += piece.length;
    if (this.#received > this.#limits.bodyBytes)
      throw new ResponseFault(`a body of more than ${this.#limits.bodyBytes} bytes`);
    return piece.length;
  }

  #takeLine(): string | undefined {
    const end = this.#unread.indexOf('\r\n');
    if ((end === -1 ? this.#unread.length : end) > maxLineBytes)
      throw new ResponseFault(`a chunk line of more than ${maxLineBytes} bytes`);
    if (end === -1) return undefined;
    const line = this.#unread.toString('latin1', 0, end);
    this.#unread = this.#unread.subarray(end + 2);
    return line;
  }

  #complete(head: Head): HttpResponse {
    if (this.#unread.length > 0) throw new ResponseFault('bytes after the end of the response');
    const [only] = this.#pieces;
    const body =
      this.#pieces.length === 1 && only !== undefined ? only : Buffer.concat(this.#pieces, this.#received);
    return { status: head.status, body, keepAlive: head.keepAlive };
  }
}
