/** The user's terminal while a guest has it: every key goes through, and whatever happens it is given back as it was. */
import type { ReadStream } from 'node:tty';

const exitSignals = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129, SIGQUIT: 131 } as const;

// Plain colours, cursor shown, cursor and number keys as usual, no mouse reports, no bracketed paste, long lines go on in
// the next (SeaBIOS switches that off), and the whole screen scrolls (which moves the cursor, hence 7 and 8).
const resetModes =
  '\u001b[0m\u001b[?25h\u001b[?1l\u001b>\u001b[?1000l\u001b[?1002l\u001b[?1003l\u001b[?1006l\u001b[?2004l' +
  '\u001b[?7h\u001b7\u001b[r\u001b8';
const leaveAlternateScreen = '\u001b[?1049l';

/** Whether the guest has the alternate screen on after this output; leaving it when it is off would move the cursor. */
export function alternateScreen(output: Uint8Array, before: boolean): boolean {
  const text = Buffer.from(output.buffer, output.byteOffset, output.byteLength).toString('latin1');
  const last = [...text.matchAll(/\u001b\[\?(?:1049|1047|47)([hl])/g)].at(-1);
  return last === undefined ? before : last[1] === 'h';
}

export class RawTerminal {
  readonly #input: ReadStream;
  readonly #write: (text: string) => void;
  readonly #handlers: (readonly [NodeJS.Signals, () => void])[] = [];
  #raw = true;
  #alternate = false;

  constructor(input: ReadStream, write: (text: string) => void) {
    this.#input = input;
    this.#write = write;
    input.setRawMode(true);
    process.once('exit', this.#restore);
    for (const [signal, status] of Object.entries(exitSignals)) {
      const handler = (): void => {
        this.#restore();
        process.exit(status);
      };
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of the table above
      const name = signal as NodeJS.Signals;
      process.once(name, handler);
      this.#handlers.push([name, handler]);
    }
  }

  /** To be told of everything that the guest writes. */
  saw(output: Uint8Array): void {
    this.#alternate = alternateScreen(output, this.#alternate);
  }

  [Symbol.dispose](): void {
    this.#restore();
    process.off('exit', this.#restore);
    for (const [signal, handler] of this.#handlers) process.off(signal, handler);
  }

  readonly #restore = (): void => {
    if (!this.#raw) return;
    this.#raw = false;
    this.#input.setRawMode(false);
    this.#write((this.#alternate ? leaveAlternateScreen : '') + resetModes);
  };
}
