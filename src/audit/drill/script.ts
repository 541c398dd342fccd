/**
 * What the prober (resources/drill/prober.json) is to do, as data, and its form in memory: steps of ten words, the data
 * that they point to behind them, all at fixed addresses. Pure.
 */
import prober from '../../../resources/drill/prober.json' with { type: 'json' };

/** Bytes in the prober's memory; the same object is the same place. */
export interface Bytes {
  readonly bytes: Uint8Array;
}

/** 64-bit words in the prober's memory, which may point to other data. */
export interface Words {
  readonly words: readonly Value[];
}

/** An argument: a number, the address of data (some bytes on), a word of it, or the result of an earlier step of the probe. */
export type Value =
  | number
  | bigint
  | Bytes
  | Words
  | { readonly in: Bytes | Words; readonly offset: number }
  | { readonly wordOf: Bytes | Words; readonly offset: number }
  | { readonly resultOf: number };

/** One system call. */
export interface Step {
  /** Its number (x86-64). */
  readonly call: number;
  readonly arguments: readonly Value[];
  /** It makes a process or thread, which waits as many milliseconds as its sixth argument says and ends. */
  readonly forks?: true;
  /** It is repeated until it fails, so many times at most. */
  readonly repeat?: number;
  /** Errnos that tell that the kernel let the caller come so far: the arguments of a harmless attempt are wrong. */
  readonly reached?: readonly string[];
}

/** Bytes of one step in memory and in the output. */
export const stepBytes = 80;
export const resultOffset = 64;
/** Before the steps of each part stands its index in the output, as one word. */
export const markBytes = 8;

const flagForks = 1n << 6n;
const write = 1;

export function text(value: string): Bytes {
  return { bytes: Buffer.from(`${value}\0`) };
}

export function room(length: number): Bytes {
  return { bytes: Buffer.alloc(length) };
}

/** The arguments of a prober that does these parts in turn and writes to descriptor 1 what came of each. */
export function compileScript(parts: readonly (readonly Step[])[]): string[] {
  const total = parts.reduce((sum, steps) => sum + steps.length + 2, 0);
  const memory = new Memory(total * stepBytes + 8);
  let at = 0;
  for (const [index, steps] of parts.entries()) {
    const mark: Words = { words: [index] };
    const begin = at + stepBytes;
    memory.step(at, { call: write, arguments: [1, mark, markBytes] }, begin);
    for (const [place, step] of steps.entries()) memory.step(begin + place * stepBytes, step, begin);
    at = begin + steps.length * stepBytes;
    memory.step(
      at,
      { call: write, arguments: [1, prober.memoryAddress + begin, steps.length * stepBytes] },
      begin,
    );
    at += stepBytes;
  }
  memory.word(at, -1n);
  return encode(memory.bytes());
}

/** Steps at their places, and behind them the data that they point to. */
class Memory {
  readonly #bytes = Buffer.alloc(prober.memoryBytes);
  readonly #places = new Map<Bytes | Words, number>();
  #end: number;

  constructor(end: number) {
    this.#end = end;
  }

  word(at: number, value: bigint): void {
    this.#bytes.writeBigUInt64LE(BigInt.asUintN(64, value), at);
  }

  /** `base`: where the probe's own steps begin. */
  step(at: number, step: Step, base: number): void {
    let flags = step.forks === true ? flagForks : 0n;
    this.word(at, BigInt(step.call));
    for (const [index, value] of step.arguments.entries()) {
      if (typeof value === 'object' && ('wordOf' in value || 'resultOf' in value))
        flags |= 1n << BigInt(index);
      this.word(at + 8 + index * 8, this.#valueOf(value, base));
    }
    this.word(at + 56, flags);
    this.word(at + 72, BigInt(step.repeat ?? 0));
  }

  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#end);
  }

  #valueOf(value: Value, base: number): bigint {
    if (typeof value !== 'object') return BigInt(value);
    if ('resultOf' in value)
      return BigInt(prober.memoryAddress + base + value.resultOf * stepBytes + resultOffset);
    if ('wordOf' in value) return this.#addressOf(value.wordOf, base) + BigInt(value.offset);
    if ('in' in value) return this.#addressOf(value.in, base) + BigInt(value.offset);
    return this.#addressOf(value, base);
  }

  #addressOf(data: Bytes | Words, base: number): bigint {
    const known = this.#places.get(data);
    if (known !== undefined) return BigInt(prober.memoryAddress + known);
    const at = this.#end;
    const length = 'bytes' in data ? data.bytes.length : data.words.length * 8;
    // Words are aligned, and each piece is followed by at least one zero.
    this.#end += (length + 16) & ~7;
    this.#places.set(data, at);
    if ('bytes' in data) this.#bytes.set(data.bytes, at);
    else
      for (const [index, word] of data.words.entries()) this.word(at + index * 8, this.#valueOf(word, base));
    return BigInt(prober.memoryAddress + at);
  }
}

/** An argument of a launch holds 16,384 characters. */
const argumentCharacters = 16_000;
const firstDigit = 'a'.charCodeAt(0);

/** Two digits from a to p for each byte, in arguments of bounded length. */
function encode(bytes: Buffer): string[] {
  const digits = [...bytes]
    .map((byte) => String.fromCharCode(firstDigit + (byte >> 4), firstDigit + (byte & 15)))
    .join('');
  return Array.from({ length: Math.ceil(digits.length / argumentCharacters) }, (_, index) =>
    digits.slice(index * argumentCharacters, (index + 1) * argumentCharacters),
  );
}
