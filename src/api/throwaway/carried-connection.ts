/** One connection of a program in the guest to a place that its user named: made from here, since the guest has no network. */
import { connect, type LookupFunction, type Socket } from 'node:net';
import {
  encodeFrame,
  GuestFault,
  partBytes,
  windowBytes,
  type Frame,
  type FrameKind,
  type GuestPort,
} from './frames.ts';
import { Pieces } from './pieces.ts';
import type { Place } from './places.ts';

const connectMs = 30_000;
/** Of what comes in no piece is larger than this; less room than it has makes the server wait. */
const pieceBytes = 2 * partBytes;

export class CarriedConnection {
  readonly #number: number;
  readonly #port: GuestPort;
  readonly #socket: Socket;
  /** From the guest, behind what the socket has. */
  readonly #pieces = new Pieces();
  #writes = false;
  /** Bytes from the guest that the server has not taken. */
  #waiting = 0;
  #guestEnded = false;
  /** What the guest still takes. */
  #room = windowBytes;
  #over = false;

  constructor(number: number, { host, port: tcpPort }: Place, port: GuestPort, lookup: LookupFunction) {
    this.#number = number;
    this.#port = port;
    const socket = connect({ host, port: tcpPort, lookup, allowHalfOpen: true, timeout: connectMs });
    this.#socket = socket;
    socket.once('connect', () => socket.setTimeout(0));
    socket.once('timeout', () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('data', (piece: Buffer) => this.#onward(piece));
    socket.once('end', () => this.#tell('C'));
    // The guest answers with the end of it; until then its number is in use.
    socket.once('close', () => this.#tell('K'));
  }

  /** A frame of the guest's about it; true where it was the last. Throws GuestFault. */
  obey({ kind, data }: Frame): boolean {
    switch (kind) {
      case 'O':
        this.#take(data);
        return false;
      case 'A': {
        const text = data.toString('latin1');
        if (!/^\d{1,9}$/.test(text)) throw new GuestFault('the guest sent no number where one is due');
        this.#room = Math.min(windowBytes, this.#room + Number(text));
        this.#goOn();
        return false;
      }
      case 'C':
        this.#guestEnded = true;
        this.#write();
        return false;
      case 'S':
        this.end();
        return true;
      default:
        throw new GuestFault('the guest sent a frame of a kind that there is not');
    }
  }

  end(): void {
    this.#over = true;
    this.#socket.destroy();
    this.#pieces.clear();
  }

  #take(data: Buffer): void {
    if (data.length === 0 || this.#guestEnded)
      throw new GuestFault('the guest sent a part without a byte in it, or one behind the end');
    this.#waiting += data.length;
    // SECURITY: rule guest. As of a command: no more than a window waits here, in however many parts.
    if (this.#waiting > windowBytes) throw new GuestFault('the guest sends more than was taken from it');
    this.#pieces.push(data);
    this.#write();
  }

  /** One piece at a time. */
  #write(): void {
    if (this.#writes || this.#socket.destroyed) return;
    const piece = this.#pieces.shift();
    if (piece === undefined) {
      if (this.#guestEnded) this.#socket.end();
      return;
    }
    this.#writes = true;
    this.#socket.write(piece, (error) => {
      this.#writes = false;
      if (error !== null && error !== undefined) return;
      this.#waiting -= piece.length;
      this.#tell('A', Buffer.from(`O${piece.length}`));
      this.#write();
    });
  }

  #onward(piece: Buffer): void {
    for (let at = 0; at < piece.length; at += partBytes) this.#tell('I', piece.subarray(at, at + partBytes));
    this.#room -= piece.length;
    if (this.#room >= pieceBytes && !this.#port.isFull) return;
    this.#socket.pause();
    this.#goOn();
  }

  #goOn(): void {
    if (this.#room < pieceBytes || this.#over) return;
    // SECURITY: rule guest. A guest that says that it takes, and does not, makes the server wait and fills no memory here.
    if (this.#port.isFull) void this.#port.drained().then(() => this.#goOn());
    else this.#socket.resume();
  }

  #tell(kind: FrameKind, data?: Uint8Array): void {
    if (!this.#over) this.#port.write(encodeFrame(kind, this.#number, data));
  }
}
