/** Bytes of an output as they come, for one reader; what it has taken is told, so that no more than a window of them waits. */
import { GuestFault, windowBytes } from './frames.ts';
import { Pieces } from './pieces.ts';

export class ByteQueue implements AsyncIterable<Uint8Array> {
  readonly #taken: (bytes: number) => void;
  readonly #parts = new Pieces();
  #waiting = 0;
  #over: { readonly error?: Error } | undefined;
  #wake: (() => void) | undefined;

  constructor(taken: (bytes: number) => void) {
    this.#taken = taken;
  }

  push(part: Uint8Array): void {
    if (part.length === 0) throw new GuestFault('the guest sent a part of an output without a byte in it');
    this.#waiting += part.length;
    // SECURITY: rule guest. The runner sends no more than it was told has been taken; a guest that does is not one to listen to.
    if (this.#waiting > windowBytes) throw new GuestFault('the guest sends more than was taken from it');
    this.#parts.push(part);
    this.#wake?.();
  }

  end(error?: Error): void {
    this.#over ??= error === undefined ? {} : { error };
    this.#wake?.();
  }

  /** Ends behind the last part; throws where the machine ended before. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    for (;;) {
      const part = this.#parts.shift();
      if (part !== undefined) {
        yield part;
        this.#waiting -= part.length;
        this.#taken(part.length);
      } else if (this.#over !== undefined) {
        if (this.#over.error !== undefined) throw this.#over.error;
        return;
      } else {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        this.#wake = undefined;
      }
    }
  }
}
