/** What the CLI has of its surroundings. Tests give their own. */
import { closeSync, fstatSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';

export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether standard input (0), output (1) or error (2) is a terminal. */
  isTerminal(descriptor: 0 | 1 | 2): boolean;
  /** Width of the terminal. */
  columns(): number;
  write(descriptor: 1 | 2, text: string | Uint8Array): void;
  /** All of standard input. */
  readInput(): string;
  /** One line that the user types; undefined at end of file. */
  readLine(): string | undefined;
  /** Milliseconds since the epoch. */
  now(): number;
}

const retryAfterMs = 5;

/** Standard output may be a pipe that someone made non-blocking: then it is full, not broken. */
function writeAll(descriptor: number, text: string | Uint8Array): void {
  let rest: Uint8Array = typeof text === 'string' ? Buffer.from(text, 'utf8') : text;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(descriptor, rest));
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, retryAfterMs);
    }
  }
}

/** `node:tty` is loaded only where it can matter: it costs a millisecond, and most calls go to a pipe. */
function isTerminal(descriptor: number): boolean {
  try {
    if (!fstatSync(descriptor).isCharacterDevice()) return false;
  } catch {
    // The descriptor is closed.
    return false;
  }
  return process.getBuiltinModule('node:tty').isatty(descriptor);
}

/** From the terminal itself, since standard input may be something else. */
function readTerminalLine(): string | undefined {
  const terminal = openSync('/dev/tty', 'r');
  const bytes = Buffer.alloc(1024);
  try {
    const count = readSync(terminal, bytes);
    return count === 0 ? undefined : bytes.toString('utf8', 0, count).replace(/\n$/, '');
  } finally {
    closeSync(terminal);
  }
}

export function processIo(): Io {
  return {
    env: process.env,
    isTerminal,
    columns: () => process.stdout.columns || Number(process.env['COLUMNS']) || 80,
    write: writeAll,
    readInput: () => readFileSync(0, 'utf8'),
    readLine: readTerminalLine,
    now: Date.now,
  };
}
