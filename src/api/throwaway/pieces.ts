/** Bytes that wait in order. Small pieces are put together: what a guest sends in single bytes costs no more than what it sends at once. */
const smallBytes = 4096;

export class Pieces {
  #parts: Buffer[] = [];

  /** Copies it: what it was a part of is not kept. */
  push(part: Uint8Array): void {
    const last = this.#parts.at(-1);
    if (last !== undefined && last.length + part.length <= smallBytes)
      this.#parts[this.#parts.length - 1] = Buffer.concat([last, part]);
    else this.#parts.push(Buffer.from(part));
  }

  shift(): Buffer | undefined {
    return this.#parts.shift();
  }

  clear(): void {
    this.#parts = [];
  }
}
