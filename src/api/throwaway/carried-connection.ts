/** One connection of a program in the guest to a place that its user named: made from here, since the guest has no network. */
import { connect, type Socket } from 'node:net';
import { encodeFrame, GuestFault, partBytes, windowBytes, type Frame, type FrameKind } from './frames.ts';
import { lookUpPlace, type Place } from './places.ts';

const connectMs = 30_000;
/** Of what comes in no piece is larger than this; less room than it has makes the server wait. */
const pieceBytes = 2 * partBytes;

export class CarriedConnection {
  readonly #number: number;
  readonly #send: (frame: Buffer) => void;
  readonly #socket: Socket;
  /** Bytes from the guest that the server has not taken. */
  #waiting = 0;
  /** What the guest still takes. */
  #room = windowBytes;
  #over = false;

  constructor(number: number, { host, port }: Place, send: (frame: Buffer) => void) {
    this.#number = number;
    this.#send = send;
    const socket = connect({ host, port, lookup: lookUpPlace, allowHalfOpen: true, timeout: connectMs });
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
        this.#waiting += data.length;
        // SECURITY: rule guest. As of a command: no more than a window waits here.
        if (this.#waiting > windowBytes) throw new GuestFault('the guest sends more than was taken from it');
        this.#socket.write(data, () => {
          this.#waiting -= data.length;
          this.#tell('A', Buffer.from(`O${data.length}`));
        });
        return false;
      case 'A': {
        const text = data.toString('latin1');
        if (!/^\d{1,9}$/.test(text)) throw new GuestFault('the guest sent no number where one is due');
        this.#room = Math.min(windowBytes, this.#room + Number(text));
        if (this.#room >= pieceBytes) this.#socket.resume();
        return false;
      }
      case 'C':
        this.#socket.end();
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
  }

  #onward(piece: Buffer): void {
    for (let at = 0; at < piece.length; at += partBytes) this.#tell('I', piece.subarray(at, at + partBytes));
    this.#room -= piece.length;
    if (this.#room < pieceBytes) this.#socket.pause();
  }

  #tell(kind: FrameKind, data?: Uint8Array): void {
    if (!this.#over) this.#send(encodeFrame(kind, this.#number, data));
  }
}
