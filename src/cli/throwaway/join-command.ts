/** Standard input, output and error of this process, joined to a command in a throwaway machine. */
import { constants } from 'node:os';
import type { CommandExit, RunningCommand } from '../../api/throwaway/running-command.ts';
import { RawTerminal } from '../console/raw-terminal.ts';
import type { Context } from '../context.ts';
import { escapeLines } from '../render/escape.ts';

export interface JoinOptions {
  /** The command has this process's terminal as its own. */
  readonly terminal: boolean;
}

/** The exit status of the command, 128 and the number of a signal. Throws where the machine ended before it. */
export async function joinCommand(
  context: Context,
  command: RunningCommand,
  { terminal }: JoinOptions,
): Promise<number> {
  const { stdin, stdout } = process;
  using raw =
    terminal && stdin.isTTY
      ? new RawTerminal(stdin, (text) => stdout.isTTY && stdout.write(text))
      : undefined;
  const resize = (): void => command.resize(terminalSize());
  if (terminal) stdout.on('resize', resize);
  const input = new InputPump(command);
  try {
    const shown = [
      show(context, 1, command.stdout, raw),
      show(context, 2, command.stderr, undefined, raw !== undefined),
    ];
    const [exit] = await Promise.all([command.exit, ...shown]);
    return statusOf(exit);
  } finally {
    input.end();
    stdout.off('resize', resize);
  }
}

export const terminalSize = (): { readonly rows: number; readonly columns: number } => ({
  rows: process.stdout.rows || 24,
  columns: process.stdout.columns || 80,
});

const statusOf = ({ code, signal }: CommandExit): number =>
  code ?? 128 + (signal ?? constants.signals.SIGKILL);

/** SECURITY: rule guest. A guest steers a terminal only where it was given one; into a file or pipe its output goes as it is. */
async function show(
  { io }: Context,
  descriptor: 1 | 2,
  output: AsyncIterable<Uint8Array>,
  raw: RawTerminal | undefined,
  given = raw !== undefined,
): Promise<void> {
  const escaped = io.isTerminal(descriptor) && !given;
  const decoder = new TextDecoder();
  for await (const part of output) {
    raw?.saw(part);
    io.write(descriptor, escaped ? escapeLines(decoder.decode(part, { stream: true })) : part);
  }
}

/** What comes in goes on as fast as the command takes it. */
class InputPump {
  readonly #command: RunningCommand;
  #last: Promise<void> = Promise.resolve();

  constructor(command: RunningCommand) {
    this.#command = command;
    process.stdin.on('data', this.#hear);
    process.stdin.once('end', this.#endInput);
    process.stdin.once('error', this.#endInput);
  }

  end(): void {
    process.stdin.off('data', this.#hear);
    process.stdin.off('end', this.#endInput);
    process.stdin.off('error', this.#endInput);
    process.stdin.pause();
  }

  readonly #hear = (piece: Buffer): void => {
    process.stdin.pause();
    this.#last = this.#last.then(() => this.#command.write(piece));
    void this.#last.then(() => process.stdin.resume());
  };

  readonly #endInput = (): void => {
    void this.#last.then(() => this.#command.endInput());
  };
}
