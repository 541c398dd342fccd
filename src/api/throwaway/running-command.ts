/** A command that runs in a throwaway machine. */
import { ByteQueue } from './byte-queue.ts';
import {
  encodeFrame,
  encodeSize,
  GuestFault,
  partBytes,
  printable,
  windowBytes,
  type Frame,
  type GuestPort,
  type TerminalSize,
} from './frames.ts';

/** `code` null: a signal ended it. */
export interface CommandExit {
  readonly code: number | null;
  readonly signal: number | null;
}

export class RunningCommand {
  readonly #number: number;
  readonly #port: GuestPort;
  #resolve: (exit: CommandExit) => void = () => undefined;
  #reject: (error: Error) => void = () => undefined;
  /** Input that may still be sent. */
  #room = windowBytes;
  #wake: (() => void) | undefined;
  #over = false;
  readonly stdout: ByteQueue;
  readonly stderr: ByteQueue;
  /** How it ended, known once its output has come; rejects where it could not be run, or the machine ended before it. */
  readonly exit: Promise<CommandExit>;

  constructor(number: number, port: GuestPort) {
    this.#number = number;
    this.#port = port;
    const queue = (kind: string): ByteQueue =>
      new ByteQueue((bytes) => this.#tell('A', Buffer.from(`${kind}${bytes}`)));
    this.stdout = queue('O');
    this.stderr = queue('E');
    this.exit = new Promise((resolve, reject) => {
      [this.#resolve, this.#reject] = [resolve, reject];
    });
    // Who never asks for the end is not told of it as of a fault of the program.
    this.exit.catch(() => undefined);
  }

  /** Resolves when all of it is on its way; a command that does not read makes this wait. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length && !this.#over;) {
      if (this.#room === 0) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      const part = bytes.subarray(at, at + Math.min(partBytes, this.#room));
      this.#room -= part.length;
      at += part.length;
      this.#tell('I', part);
      // SECURITY: rule guest. A guest's word that it takes more is no bound; what its port has not taken is.
      if (this.#port.isFull) await this.#port.drained();
    }
  }

  /** Its standard input ends here. */
  endInput(): void {
    this.#tell('C');
  }

  /** A signal to it and what it has started; default: SIGTERM. */
  kill(signal = 15): void {
    this.#tell('K', Buffer.from(String(signal)));
  }

  resize(size: TerminalSize): void {
    this.#tell('W', encodeSize(size));
  }

  /** A frame of the runner's about this command; true where it was the last. Throws GuestFault. */
  obey({ kind, data }: Frame): boolean {
    switch (kind) {
      case 'O':
        this.stdout.push(data);
        return false;
      case 'E':
        this.stderr.push(data);
        return false;
      case 'A':
        this.#room = Math.min(windowBytes, this.#room + numberIn(data.toString('latin1')));
        this.#wake?.();
        return false;
      case 'S': {
        const [word = '', value = ''] = data.toString('latin1').split(' ');
        if (word !== 'code' && word !== 'signal')
          throw new GuestFault('the guest told of no end that there is');
        const number = numberIn(value);
        this.#settle();
        this.#resolve(
          word === 'code' ? { code: number & 255, signal: null } : { code: null, signal: number & 127 },
        );
        return true;
      }
      case 'F':
        this.fail(new Error(`it could not be run: ${printable(data)}`));
        return true;
      default:
        throw new GuestFault('the guest sent a frame of a kind that there is not');
    }
  }

  /** It is not heard of any more. */
  fail(error: Error): void {
    this.#settle(error);
    this.#reject(error);
  }

  #settle(error?: Error): void {
    this.#over = true;
    this.#wake?.();
    this.stdout.end(error);
    this.stderr.end(error);
  }

  #tell(kind: 'I' | 'C' | 'K' | 'W' | 'A', data?: Uint8Array): void {
    if (!this.#over) this.#port.write(encodeFrame(kind, this.#number, data));
  }
}

function numberIn(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new GuestFault('the guest sent no number where one is due');
  return Number(text);
}
