/** A throwaway machine in the hands of a program: commands, files in and out. It is gone when it is disposed of, or when the program ends. */
import type { ThrowawayNotice } from '../stream-messages.ts';
import { parseTrusted } from '../json.ts';
import type { MessageStream, StreamMessage } from '../web-socket.ts';
import { partBytes, type CommandWish } from './frames.ts';
import type { Place } from './places.ts';
import { RunnerLink } from './runner-link.ts';
import type { CommandExit, RunningCommand } from './running-command.ts';
import { archive } from './tar.ts';

export interface ExecOptions extends Omit<CommandWish, 'argv' | 'terminal'> {
  /** Its standard input; default: none. */
  readonly input?: Uint8Array | string | AsyncIterable<Uint8Array>;
  /** Of both outputs together, bytes; beyond it the command is killed, and `exec` throws. Default: 64 MiB. */
  readonly maxOutputBytes?: number;
  /** Kills the command. */
  readonly signal?: AbortSignal;
}

export interface ExecResult extends CommandExit {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

const defaultMaxOutputBytes = 64 * 1024 ** 2;
const sigkill = 9;
const goneWithinMs = 10_000;

export class ThrowawayMachine implements AsyncDisposable {
  /** As `qward list` shows it. */
  readonly name: string;
  readonly #stream: MessageStream;
  readonly #link: RunnerLink;
  /** Resolves when the machine is over, with why. */
  readonly ended: Promise<string>;

  /** `messages`: those of the stream, from behind the notice `ready` on. */
  constructor(name: string, stream: MessageStream, messages: AsyncIterable<StreamMessage>) {
    this.name = name;
    this.#stream = stream;
    this.#link = new RunnerLink(stream);
    this.ended = this.#listen(messages);
  }

  /** Once, before the first command, of a copy of a saved machine: it has the time of then, and the random numbers of every other copy. */
  freshen(): void {
    this.#link.freshen();
  }

  /** Once, before the first command (`net.allow` of `run`). */
  async open(places: readonly Place[], onClosed?: (message: string) => void): Promise<void> {
    await this.#link.open(places, onClosed);
  }

  /** Begins a command, without a shell; its streams are the caller's to serve. Throws where the machine is over. */
  spawn(argv: readonly string[], options: Omit<CommandWish, 'argv'> = {}): RunningCommand {
    return this.#link.start({ argv, ...options });
  }

  /** Runs a command to its end. Throws where it could not be run, or where the machine ended before. */
  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const { input, maxOutputBytes = defaultMaxOutputBytes, signal, ...wish } = options;
    signal?.throwIfAborted();
    const command = this.spawn(argv, wish);
    const kill = (): void => command.kill(sigkill);
    signal?.addEventListener('abort', kill, { once: true });
    try {
      let left = maxOutputBytes;
      const collect = async (output: AsyncIterable<Uint8Array>): Promise<Buffer> => {
        const parts: Uint8Array[] = [];
        for await (const part of output) {
          left -= part.length;
          if (left < 0) kill();
          else parts.push(part);
        }
        return Buffer.concat(parts);
      };
      const [stdout, stderr, exit] = await Promise.all([
        collect(command.stdout),
        collect(command.stderr),
        command.exit,
        feed(command, input),
      ]);
      signal?.throwIfAborted();
      if (left < 0) throw new RangeError(`${argv[0] ?? ''} wrote more than ${maxOutputBytes} bytes`);
      return { ...exit, stdout, stderr };
    } finally {
      signal?.removeEventListener('abort', kill);
    }
  }

  /** A file in the guest, whole when this resolves; directories above it are made. Throws with the guest's words. */
  async writeFile(path: string, data: NonNullable<ExecOptions['input']>, mode = 0o644): Promise<void> {
    const script = 'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"';
    await this.#shell(script, [path, mode.toString(8)], data);
  }

  /** Throws with the guest's words, or where the file is larger than `maxBytes` (64 MiB). */
  async readFile(path: string, maxBytes = defaultMaxOutputBytes): Promise<Buffer> {
    return await this.#shell('exec cat "$1"', [path], undefined, maxBytes);
  }

  /** What is in a directory of this host, into one of the guest's, which is made. */
  async copyIn(directory: string, to: string): Promise<void> {
    await this.#shell('mkdir -p "$1" && exec tar -x -o -f - -C "$1"', [to], archive(directory));
  }

  /** A file or directory of the guest as a tar archive: what is in it is a guest's word, and not unpacked here. */
  async copyOut(path: string, maxBytes = defaultMaxOutputBytes): Promise<Buffer> {
    return await this.#shell(
      'exec tar -c -f - -C "$(dirname "$1")" "$(basename "$1")"',
      [path],
      undefined,
      maxBytes,
    );
  }

  /** Ends it; resolves when nothing of it is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stream.sendText(JSON.stringify({ end: true }));
    const late = setTimeout(() => this.#stream.close(), goneWithinMs);
    await this.ended;
    clearTimeout(late);
    this.#stream.close();
  }

  async #shell(
    script: string,
    words: readonly string[],
    input?: ExecOptions['input'],
    maxOutputBytes?: number,
  ): Promise<Buffer> {
    const { code, stdout, stderr } = await this.exec(['sh', '-c', script, 'sh', ...words], {
      ...(input === undefined ? {} : { input }),
      ...(maxOutputBytes === undefined ? {} : { maxOutputBytes }),
    });
    if (code === 0) return stdout;
    throw new Error(`${words[0] ?? ''}: ${wordsOf(stderr)}`);
  }

  async #listen(messages: AsyncIterable<StreamMessage>): Promise<string> {
    let why = 'the connection to the manager ended';
    try {
      for await (const message of messages)
        if (message.kind === 'bytes') await this.#link.hear(message.bytes);
        else why = parseTrusted<ThrowawayNotice>(message.text).message;
    } catch (error) {
      why = error instanceof Error ? error.message : String(error);
    }
    this.#link.end(new Error(`machine ${this.name}: ${why}`));
    this.#stream.close();
    return why;
  }
}

/** What a guest wrote, as a line of a message. */
const wordsOf = (stderr: Buffer): string =>
  stderr
    .toString('utf8')
    .trim()
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ')
    .slice(0, 500) || 'it failed, and did not say why';

async function feed(command: RunningCommand, input: ExecOptions['input']): Promise<void> {
  if (typeof input === 'string') await command.write(Buffer.from(input));
  else if (input instanceof Uint8Array) await command.write(input);
  else if (input !== undefined)
    for await (const piece of input)
      for (let at = 0; at < piece.length; at += partBytes)
        await command.write(piece.subarray(at, at + partBytes));
  command.endInput();
}
