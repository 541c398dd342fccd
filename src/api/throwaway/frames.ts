/**
 * What goes between a client and the runner in the guest of a throwaway machine: type, number of the command, length, bytes. Both ends
 * of it are a guest's word: whatever does not have this form ends the machine.
 *
 * To the runner: X runs a command, I is its standard input, C the end of that, K a signal, W the size of its terminal, A takes
 * bytes of an output. From it: H first, F could not run, O and E output, A took input, S ended.
 *
 * Places to connect to: N tells the runner of them, and comes back as soon as it listens for connections to them. B begins one: a number of the runner's
 * own, from `firstCarried` on, and which place. Then it is as a command: O from the guest, I to it, C the end of either, K over, A and S.
 *
 * In a copy of a saved machine T comes before all else: what time it is, and random numbers that no other copy gets.
 */
export type FrameKind = 'T' | 'X' | 'I' | 'C' | 'K' | 'W' | 'A' | 'H' | 'F' | 'O' | 'E' | 'S' | 'N' | 'B';

/** Numbers of connections, which the runner gives; those of commands are below. */
export const firstCarried = 0x8000_0000;

export interface Frame {
  readonly kind: string;
  readonly command: number;
  readonly data: Buffer;
}

const headBytes = 9;
/** Of a stream in one frame. */
export const partBytes = 32_768;
/** Of one stream that were sent and not taken yet. */
export const windowBytes = 262_144;
/** A command's words may be longer than a part. */
const maxDataBytes = 64 * 1024;
export const maxWishBytes = 60 * 1024;

/** The way to the guest (MessageStream). */
export interface GuestPort {
  write(frame: Buffer): void;
  /** So much was written and not taken that nothing more should be. */
  readonly isFull: boolean;
  /** Resolves when it is not full any more, or over. */
  drained(): Promise<void>;
}

export class GuestFault extends Error {}

export function encodeFrame(kind: FrameKind, command: number, data: Uint8Array = new Uint8Array()): Buffer {
  const frame = Buffer.alloc(headBytes + data.length);
  frame.write(kind, 0, 'latin1');
  frame.writeUInt32BE(command, 1);
  frame.writeUInt32BE(data.length, 5);
  frame.set(data, headBytes);
  return frame;
}

/** Seconds since 1970, and `random`. */
export function encodeNow(at: Date, random: Uint8Array): Buffer {
  const seconds = Buffer.alloc(8);
  seconds.writeDoubleBE(at.getTime() / 1000);
  return Buffer.concat([seconds, random]);
}

export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  /** The frames that are whole with this piece; throws GuestFault. */
  *push(piece: Uint8Array): Generator<Frame, void> {
    this.#rest = this.#rest.length === 0 ? Buffer.from(piece) : Buffer.concat([this.#rest, piece]);
    while (this.#rest.length >= headBytes) {
      const length = this.#rest.readUInt32BE(5);
      // SECURITY: rule guest. The length is looked at before anything is kept for it.
      if (length > maxDataBytes) throw new GuestFault(`the guest sent a frame of ${length} bytes`);
      if (this.#rest.length < headBytes + length) return;
      const [kind, command] = [this.#rest.toString('latin1', 0, 1), this.#rest.readUInt32BE(1)];
      const data = this.#rest.subarray(headBytes, headBytes + length);
      this.#rest = this.#rest.subarray(headBytes + length);
      yield { kind, command, data };
    }
  }
}

export interface CommandWish {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Absolute; default: /. */
  readonly cwd?: string;
  /** On a terminal of this size; else its outputs are two. */
  readonly terminal?: TerminalSize;
}

export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

export const encodeSize = ({ rows, columns }: TerminalSize): Buffer => Buffer.from(`${rows} ${columns}`);

/** Fields that end with NUL; RangeError where one has NUL in it, or all together are too long. */
export function encodeWish({ argv, env = {}, cwd, terminal }: CommandWish): Buffer {
  const fields = [
    ...Object.entries(env).map(([name, value]) => `env=${name}=${value}`),
    ...(cwd === undefined ? [] : [`cwd=${cwd}`]),
    ...(terminal === undefined ? [] : [`terminal=${terminal.rows} ${terminal.columns}`]),
  ];
  const words = [...fields, '', ...argv];
  if (argv.length === 0 || words.some((word) => word.includes('\0')))
    throw new RangeError('a command is a program and its arguments, without NUL in any');
  const wish = Buffer.from(words.join('\0'));
  if (wish.length > maxWishBytes)
    throw new RangeError(`a command of ${wish.length} bytes, at most ${maxWishBytes}`);
  return wish;
}

/** Words of the guest's, one line. */
export const printable = (data: Buffer): string =>
  data
    .toString('utf8')
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ' ')
    .slice(0, 500);
