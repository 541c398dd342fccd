import { maxLineBytes } from './limits.ts';

const newline = 0x0a;
const firstCapacity = 4096;
/** A buffer that one long line has blown up is given back, so that idle sessions stay small. */
const keptCapacity = 64 * 1024;

/** Cuts a stream of bytes into lines, and holds no more than one unfinished line of at most `maxBytes`. */
export class LineReader {
  readonly #maxBytes: number;
  #partial = Buffer.alloc(0);
  #length = 0;

  constructor(maxBytes: number = maxLineBytes) {
    this.#maxBytes = maxBytes;
  }

  /** Whether a line has begun and not ended. */
  get midLine(): boolean {
    return this.#length > 0;
  }

  /**
   * Gives every finished line, without its newline, to `onLine`, until that answers false. A line is valid during
   * the call only. False: a line is longer than allowed.
   */
  push(chunk: Buffer, onLine: (line: Buffer) => boolean): boolean {
    let start = 0;
    while (start < chunk.length) {
      const end = chunk.indexOf(newline, start);
      const piece = chunk.subarray(start, end === -1 ? chunk.length : end);
      // SECURITY: rule QMP. The length is checked on every piece, before it is kept, finished line or not.
      if (this.#length + piece.length > this.#maxBytes) return false;
      if (end === -1) {
        this.#keep(piece);
        return true;
      }
      start = end + 1;
      if (!onLine(this.#finish(piece))) return true;
    }
    return true;
  }

  #finish(lastPiece: Buffer): Buffer {
    if (this.#length === 0) return lastPiece;
    this.#keep(lastPiece);
    const line = this.#partial.subarray(0, this.#length);
    this.#length = 0;
    if (this.#partial.length > keptCapacity) this.#partial = Buffer.alloc(0);
    return line;
  }

  /** Copies: a list of the pieces would cost a peer one byte each, and us a hundred. */
  #keep(piece: Buffer): void {
    const needed = this.#length + piece.length;
    if (needed > this.#partial.length) {
      const capacity = Math.min(Math.max(needed, 2 * this.#partial.length, firstCapacity), this.#maxBytes);
      const grown = Buffer.allocUnsafeSlow(capacity);
      this.#partial.copy(grown, 0, 0, this.#length);
      this.#partial = grown;
    }
    piece.copy(this.#partial, this.#length);
    this.#length = needed;
  }
}
