/**
 * Many connections over one pair of pipes: what `qward -H` and `qward dial-stdio` speak, through ssh. Frames of type, channel
 * and length; a channel sends no more than the other side has given it credit for, so that one that nobody reads holds up
 * neither the others nor anybody's memory.
 */
import { Duplex, type Readable, type Writable } from 'node:stream';
import { parseTrusted } from '../../api/json.ts';

/** What is given to a channel at its beginning, in bytes, each way. */
const windowBytes = 256 * 1024;
const maxPayloadBytes = 32 * 1024;
const headBytes = 9;
/** More at once are no use of ours. */
const maxChannels = 512;

const kinds = { open: 1, opened: 2, data: 3, end: 4, close: 5, credit: 6 } as const;
type Kind = (typeof kinds)[keyof typeof kinds];

/** Beside the credit of its channels, what waits for a side that does not read: heads, credit, ends, channels that are closed. */
const maxBacklogBytes = 16 * 1024 * 1024;

/** The other side does not keep to the protocol. */
export class MuxFault extends Error {}

/** Why a channel was closed, as the other side says it: `code` is the system's, ECONNREFUSED for instance. */
class ChannelError extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

interface Link {
  send(kind: Kind, channel: number, payload?: Buffer): void;
  forget(channel: number): void;
}

/** One connection. `connect` is emitted where the other side has accepted it. */
export class Channel extends Duplex {
  readonly #link: Link;
  readonly #id: number;
  #credit = windowBytes;
  /** What the other side may still send, and what of that is to be given back once somebody reads. */
  #given = windowBytes;
  #owed = 0;
  #waiting: (() => void) | undefined;
  #closedByPeer = false;
  #endedByPeer = false;

  constructor(link: Link, id: number, allowHalfOpen: boolean) {
    super({ allowHalfOpen });
    this.#link = link;
    this.#id = id;
  }

  override _read(): void {
    if (this.#owed === 0) return;
    const credit = Buffer.alloc(4);
    credit.writeUInt32BE(this.#owed);
    this.#given += this.#owed;
    this.#owed = 0;
    this.#link.send(kinds.credit, this.#id, credit);
  }

  override _write(chunk: Buffer, _: string, done: (error?: Error | null) => void): void {
    let rest = chunk;
    const go = (): void => {
      while (rest.length > 0 && this.#credit > 0) {
        const piece = rest.subarray(0, Math.min(maxPayloadBytes, this.#credit));
        this.#credit -= piece.length;
        this.#link.send(kinds.data, this.#id, piece);
        rest = rest.subarray(piece.length);
      }
      if (rest.length > 0) this.#waiting = go;
      else done();
    };
    go();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#link.send(kinds.end, this.#id);
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    // Both directions ended by themselves: the other side knows.
    if (!this.#closedByPeer && !(this.readableEnded && this.writableFinished)) {
      const code = error !== null && 'code' in error ? String(error.code) : '';
      const text = error === null ? '' : JSON.stringify({ code, message: error.message });
      this.#link.send(kinds.close, this.#id, Buffer.from(text).subarray(0, maxPayloadBytes));
    }
    this.#link.forget(this.#id);
    done(error);
  }

  /** For the side that was asked. */
  accept(): void {
    this.#link.send(kinds.opened, this.#id);
  }

  received(kind: Kind, payload: Buffer): void {
    if (kind === kinds.opened) this.emit('connect');
    else if (kind === kinds.data) this.#receive(payload);
    else if (kind === kinds.end) this.#peerEnded();
    else if (kind === kinds.close) this.#closed(payload);
    else if (kind === kinds.credit && payload.length === 4) this.#credited(payload.readUInt32BE());
    else throw new MuxFault(`a frame of kind ${kind} out of place`);
  }

  #receive(payload: Buffer): void {
    if (this.#endedByPeer) throw new MuxFault('bytes behind the end');
    this.#given -= payload.length;
    // SECURITY: rule HTTP. Who sends more than there is room for is not waited for, and costs no memory.
    if (this.#given < 0) throw new MuxFault('more bytes than there is credit for');
    this.#owed += payload.length;
    this.push(payload);
  }

  #credited(bytes: number): void {
    this.#credit += bytes;
    if (this.#credit > windowBytes) throw new MuxFault('more credit than was used');
    const go = this.#waiting;
    this.#waiting = undefined;
    go?.();
  }

  #peerEnded(): void {
    if (this.#endedByPeer) throw new MuxFault('a second end');
    this.#endedByPeer = true;
    this.push(null);
  }

  #closed(payload: Buffer): void {
    this.#closedByPeer = true;
    // All of what came before is read first.
    if (payload.length === 0 && this.#endedByPeer && !this.readableEnded) {
      this.once('end', () => this.destroy());
      return;
    }
    this.destroy(payload.length === 0 ? undefined : closeReason(payload));
  }
}

function closeReason(payload: Buffer): Error {
  try {
    const { code, message } = parseTrusted<Record<string, unknown>>(payload.toString('utf8'));
    return new ChannelError(String(code), String(message));
  } catch {
    return new MuxFault('a channel was closed without a reason that can be read');
  }
}

export interface MuxOptions {
  readonly input: Readable;
  readonly output: Writable;
  /** The side that was asked: what a channel of that name is. The side that asks has none. */
  readonly onOpen?: (name: string, channel: Channel) => void;
  /** The input ended, or is not of this protocol. Called once. */
  readonly onEnd: (error: Error | undefined) => void;
}

export class Mux {
  readonly #options: MuxOptions;
  readonly #channels = new Map<number, Channel>();
  #unread: Buffer = Buffer.alloc(0);
  #next = 1;
  #ended = false;
  readonly #link: Link;

  constructor(options: MuxOptions) {
    this.#options = options;
    this.#link = { send: this.#send, forget: (id) => void this.#channels.delete(id) };
    options.input.on('data', (piece: Buffer) => this.receive(piece));
    options.input.on('end', () => this.end());
    options.input.on('error', (error) => this.end(error));
    // Who is gone has said why where it is read, or that ends, too: the broken pipe is not the reason.
    options.output.on('error', (error) => {
      if (!('code' in error && error.code === 'EPIPE')) this.end(error);
    });
  }

  open(name: string): Channel {
    const id = this.#next;
    this.#next += 1;
    const channel = new Channel(this.#link, id, false);
    this.#channels.set(id, channel);
    this.#send(kinds.open, id, Buffer.from(name));
    return channel;
  }

  /** Bytes that came; what was read of the input before is given here first. */
  receive(piece: Buffer): void {
    if (this.#ended) return;
    this.#unread = this.#unread.length === 0 ? piece : Buffer.concat([this.#unread, piece]);
    try {
      while (this.#take()) continue;
    } catch (error) {
      if (!(error instanceof MuxFault)) throw error;
      this.end(error);
    }
  }

  end(error?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const channel of this.#channels.values())
      channel.destroy(error ?? new Error('the connection to the other host ended'));
    this.#options.onEnd(error);
  }

  #take(): boolean {
    if (this.#unread.length < headBytes) return false;
    const length = this.#unread.readUInt32BE(5);
    if (length > maxPayloadBytes) throw new MuxFault(`a frame of ${length} bytes`);
    if (this.#unread.length < headBytes + length) return false;
    const [kind, id] = [this.#unread.readUInt8(0), this.#unread.readUInt32BE(1)];
    const payload = this.#unread.subarray(headBytes, headBytes + length);
    this.#unread = this.#unread.subarray(headBytes + length);
    if (kind === kinds.open) this.#opened(id, payload.toString('utf8'));
    // A channel that was closed here may still be sent to.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what is no kind is refused there
    else this.#channels.get(id)?.received(kind as Kind, payload);
    return true;
  }

  #opened(id: number, name: string): void {
    const { onOpen } = this.#options;
    if (onOpen === undefined || this.#channels.has(id) || this.#channels.size >= maxChannels)
      throw new MuxFault('a channel that cannot be');
    const channel = new Channel(this.#link, id, true);
    this.#channels.set(id, channel);
    onOpen(name, channel);
  }

  readonly #send = (kind: Kind, channel: number, payload: Buffer = Buffer.alloc(0)): void => {
    const { output } = this.#options;
    if (this.#ended || !output.writable) return;
    const head = Buffer.alloc(headBytes);
    head.writeUInt8(kind, 0);
    head.writeUInt32BE(channel, 1);
    head.writeUInt32BE(payload.length, 5);
    output.write(Buffer.concat([head, payload]));
    // SECURITY: rule HTTP. Who opens channels without end and reads no answer costs a bounded amount of memory, too.
    if (output.writableLength > maxBacklogBytes + this.#channels.size * windowBytes)
      this.end(new MuxFault('nothing is read of what is answered'));
  };
}
