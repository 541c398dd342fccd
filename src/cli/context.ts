/** What a handler works with. */
import { QwardClient, defaultSocketPath } from '../api/client.ts';
import type { Reach } from '../api/reach.ts';
import type { Io } from './io.ts';
import { startProgress, type Progress } from './progress.ts';
import { escapeJson, escapeScreen } from './render/escape.ts';
import { createStyle, type Style } from './render/style.ts';

export interface Globals {
  /** The manager's, of whichever instance; undefined: QWARD_SOCKET, else the system's. */
  readonly socket: string | undefined;
  /** Another host. */
  readonly remote: Reach | undefined;
  readonly json: boolean;
  readonly noColor: boolean;
  readonly quiet: boolean;
}

export interface Context {
  readonly client: QwardClient;
  /** The other host that the client works on; undefined: this one. */
  readonly remote: string | undefined;
  readonly io: Io;
  readonly json: boolean;
  readonly quiet: boolean;
  /** For standard output and for standard error. */
  readonly style: Style;
  readonly errorStyle: Style;
  /** Lines of a command that prints as results come; taken care of: the progress line, `--json`, `--quiet`. */
  print(text: string): void;
  warn(text: string): void;
  /** Waits for `work`, saying so after a second. */
  during<Result>(label: string, work: Promise<Result>): Promise<Result>;
  /** The same for work that says itself how far it is. */
  progressing<Result>(label: string, work: (progress: Progress) => Promise<Result>): Promise<Result>;
}

function styleFor(io: Io, descriptor: 1 | 2, noColor: boolean): Style {
  const terminal = io.isTerminal(descriptor);
  const unwanted = noColor || (io.env['NO_COLOR'] ?? '') !== '' || io.env['TERM'] === 'dumb';
  return createStyle({
    color: terminal && !unwanted,
    columns: terminal ? io.columns() : Number.POSITIVE_INFINITY,
  });
}

export const formatJson = (data: unknown): string => `${escapeJson(JSON.stringify(data, null, 2))}\n`;

export function createContext(io: Io, globals: Globals): Context {
  const socketPath = globals.socket ?? (io.env['QWARD_SOCKET'] || defaultSocketPath);
  let progress: Progress | undefined;
  const write = (descriptor: 1 | 2, text: string): void => {
    progress?.hide();
    // SECURITY: promise 4. Whatever a rendering let through: a manager that was taken over steers nobody's terminal.
    if (text !== '') io.write(descriptor, escapeScreen(text));
  };
  const progressing = async <Result>(
    label: string,
    work: (progress: Progress) => Promise<Result>,
  ): Promise<Result> => {
    const mine = startProgress(io, label, globals.quiet);
    progress = mine;
    try {
      return await work(mine);
    } finally {
      mine.stop();
      progress = undefined;
    }
  };
  return {
    client: new QwardClient({ socketPath, ...globals.remote }),
    remote: globals.remote?.name,
    io,
    json: globals.json,
    quiet: globals.quiet,
    style: styleFor(io, 1, globals.noColor),
    errorStyle: styleFor(io, 2, globals.noColor),
    print: (text) => write(1, text),
    warn: (text) => write(2, text),
    during: (label, work) => progressing(label, () => work),
    progressing,
  };
}
