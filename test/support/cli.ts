/** The CLI in this process: words in, what it wrote and its exit status out. */
import type { Io } from '../../src/cli/io.ts';
import { runCli } from '../../src/cli/run.ts';
import { sampleTime } from './machine-samples.ts';

export interface CliOptions {
  readonly socketPath?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Which of 0, 1, 2 are terminals. */
  readonly terminals?: readonly number[];
  readonly input?: string;
  readonly answer?: string;
  readonly columns?: number;
}

export interface CliOutcome {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

export async function cli(words: readonly string[], options: CliOptions = {}): Promise<CliOutcome> {
  const written = { 1: '', 2: '' };
  const io: Io = {
    env: { QWARD_SOCKET: options.socketPath ?? '/nonexistent/api.sock', ...options.env },
    isTerminal: (descriptor) => options.terminals?.includes(descriptor) === true,
    columns: () => options.columns ?? 80,
    write: (descriptor, text) => (written[descriptor] += text),
    readInput: () => options.input ?? '',
    readLine: () => options.answer,
    now: () => sampleTime,
  };
  const status = await runCli(words, io);
  return { status, out: written[1], err: written[2] };
}
