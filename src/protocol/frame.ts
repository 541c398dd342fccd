/** Framing of the broker's socket: 4 bytes big-endian length, then that many bytes of JSON. */

/** A request: QEMU's arguments, a root of some 60 files and 200 descriptors fit many times over. */
export const maxRequestBytes = 256 * 1024;
/** A reply: the facts of a process with hundreds of threads fit. */
export const maxReplyBytes = 16 * 1024 * 1024;

export function encodeFrame(message: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(message), 'utf8');
  const frame = Buffer.allocUnsafe(4 + body.length);
  frame.writeUInt32BE(body.length, 0);
  body.copy(frame, 4);
  return frame;
}

/**
 * Gathers one frame from pieces. `push` gives the body once it is complete, undefined while it is not, and
 * throws where the peer announces more than `maxBytes` or sends more than it announced.
 */
export class FrameReader {
  #pieces: Buffer[] = [];
  #received = 0;
  readonly #maxBytes: number;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  push(piece: Buffer): Buffer | undefined {
    this.#pieces.push(piece);
    this.#received += piece.length;
    if (this.#received < 4) return undefined;
    if (this.#pieces.length > 1 && (this.#pieces[0]?.length ?? 0) < 4)
      this.#pieces = [Buffer.concat(this.#pieces)];
    const length = this.#pieces[0]?.readUInt32BE(0) ?? 0;
    // SECURITY: rule manager. The length is checked before anything of that size is allocated.
    if (length > this.#maxBytes)
      throw new RangeError(`frame of ${length} bytes, at most ${this.#maxBytes} expected`);
    if (this.#received > 4 + length) throw new RangeError('bytes after the end of the frame');
    if (this.#received < 4 + length) return undefined;
    return Buffer.concat(this.#pieces).subarray(4);
  }
}
