/** Asking the guest agent (qemu-ga), or whatever the guest has in its place, through QEMU's socket of it. */
import { randomInt } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { CommandFailure, CommandResult } from './command-result.ts';
import { nestsWithin } from './json-depth.ts';
import { LineReader } from './line-reader.ts';
import { printable } from './printable.ts';
import { type Fields, memberOf, parseFields, parseText } from './shape.ts';

/** A line of the agent's: answers to the commands that qward gives are short. */
export const maxAgentLineBytes = 64 * 1024;
/** All that is read in answer to one command. */
export const maxAgentBytes = 256 * 1024;
/** What is thrown away before it: answers that nobody waits for any more. The longest of qemu-ga's has two outputs of 16 MiB as base64. */
export const maxStaleBytes = 48 * 1024 * 1024;
/** A sync's answer is shorter. */
const maxSyncBytes = 256;

export interface AgentCommandOptions {
  /** Counts from the call. */
  readonly timeoutMs: number;
  /** Where the answer is longer than others are; default `maxAgentLineBytes`. */
  readonly maxLineBytes?: number;
}
const maxDepth = 16;
const maxTextLength = 1024;
const maxSyncId = 2 ** 31;

/**
 * The agent answers without an id, and what was asked before it ran, or before a time limit passed, is answered later. So
 * each command begins with `guest-sync-delimited`, whose answer tells the id and comes behind a byte 0xFF (QEMU's
 * interop/qemu-ga-ref); what comes before is thrown away. One command at a time.
 */
const delimiter = 0xff;
const newline = 0x0a;

/**
 * Owns the socket from the beginning on. Whatever the guest sends, nothing is thrown: a command answers within its time
 * limit. SECURITY: rule QMP. All that the agent says is the guest's; it is bounded, and nothing of it is kept.
 */
export class AgentSession implements Disposable {
  readonly #socket: Duplex;
  #ended: string | undefined;
  #pending: Exchange | undefined;

  constructor(socket: Duplex) {
    this.#socket = socket;
    // Nothing is read while nothing is asked: a flood stays in the guest.
    socket.pause();
    socket.on('error', (error) => this.#end(`the agent's socket failed: ${error.message}`));
    socket.on('end', () => this.#end('QEMU closed the socket of the agent'));
    socket.on('close', () => this.#end('QEMU closed the socket of the agent'));
    if (socket.destroyed || socket.readableEnded) this.#end('QEMU closed the socket of the agent');
  }

  /** Whether another command can be given. */
  get open(): boolean {
    return this.#ended === undefined;
  }

  /** Some commands are not answered where they succeed: guest-shutdown. */
  async execute(
    command: string,
    args: Fields | undefined,
    { timeoutMs, maxLineBytes = maxAgentLineBytes }: AgentCommandOptions,
  ): Promise<CommandResult<unknown>> {
    if (this.#ended !== undefined) return failure('session-ended', this.#ended);
    if (this.#pending !== undefined) return failure('busy', 'the agent is being asked something already');
    const request = args === undefined ? { execute: command } : { execute: command, arguments: args };
    const exchange = new Exchange(JSON.stringify(request), maxLineBytes);
    this.#pending = exchange;
    const timer = setTimeout(() => {
      exchange.settle(silentAgent(timeoutMs));
    }, timeoutMs);
    const onData = (chunk: Buffer): void => {
      const next = exchange.push(chunk);
      if (next.kind === 'send') this.#socket.write(next.text);
      else if (next.kind === 'broken') this.#end(next.message);
    };
    this.#socket.on('data', onData);
    this.#socket.resume();
    this.#socket.write(exchange.sync);
    try {
      return await exchange.result;
    } finally {
      clearTimeout(timer);
      this.#socket.off('data', onData);
      this.#socket.pause();
      this.#pending = undefined;
    }
  }

  [Symbol.dispose](): void {
    this.#end('the session with the agent was closed by qward');
  }

  #end(message: string): void {
    if (this.#ended !== undefined) return;
    this.#ended = message;
    this.#socket.destroy();
    this.#pending?.settle(failure('session-ended', message));
  }
}

export function silentAgent(timeoutMs: number): CommandFailure {
  return failure('timed-out', `the guest agent did not answer within ${Math.ceil(timeoutMs) / 1000} s`);
}

type Next =
  | { readonly kind: 'wait' }
  | { readonly kind: 'send'; readonly text: string }
  | { readonly kind: 'broken'; readonly message: string };

/** One command: the sync, and once that is answered the command itself. */
class Exchange {
  readonly sync: Buffer;
  readonly result: Promise<CommandResult<unknown>>;
  readonly #command: string;
  readonly #id = randomInt(1, maxSyncId);
  readonly #lines: LineReader;
  readonly #maxLineBytes: number;
  readonly #settled = Promise.withResolvers<CommandResult<unknown>>();
  #bytes = 0;
  #synced = false;
  /** What has come of a line behind a delimiter. */
  #sync: Buffer | undefined;

  constructor(command: string, maxLineBytes: number) {
    this.#command = command;
    this.#maxLineBytes = maxLineBytes;
    this.#lines = new LineReader(maxLineBytes);
    this.result = this.#settled.promise;
    const sync = JSON.stringify({ execute: 'guest-sync-delimited', arguments: { id: this.#id } });
    // The agent forgets with that byte what it had read of a command before.
    this.sync = Buffer.concat([Buffer.of(delimiter), Buffer.from(`${sync}\n`)]);
  }

  settle(result: CommandResult<unknown>): void {
    this.#settled.resolve(result);
  }

  push(chunk: Buffer): Next {
    if (!this.#synced) return this.#seek(chunk);
    this.#bytes += chunk.length;
    const most = maxAgentBytes - maxAgentLineBytes + this.#maxLineBytes;
    if (this.#bytes > most)
      return broken(`the guest agent sent more than ${most} bytes in answer to one command`);
    let next: Next = { kind: 'wait' };
    const fits = this.#lines.push(chunk, (line) => {
      next = this.#onAnswer(line);
      return next.kind === 'wait';
    });
    return fits ? next : broken(`the guest agent sent a line of more than ${this.#maxLineBytes} bytes`);
  }

  /** Throws away all but the answer to the sync, a short line behind the delimiter; of the rest nothing is kept. */
  #seek(chunk: Buffer): Next {
    this.#bytes += chunk.length;
    if (this.#bytes > maxStaleBytes)
      return broken(`the guest agent sent more than ${maxStaleBytes} bytes of old answers`);
    for (let at = 0; at < chunk.length;) {
      const end = this.#sync === undefined ? -1 : chunk.indexOf(newline, at);
      const begin = chunk.indexOf(delimiter, at);
      if (begin !== -1 && (end === -1 || begin < end)) {
        this.#sync = Buffer.alloc(0);
        at = begin + 1;
        continue;
      }
      const piece = chunk.subarray(at, end === -1 ? chunk.length : end);
      if (this.#sync === undefined) break;
      const line =
        this.#sync.length + piece.length > maxSyncBytes ? undefined : Buffer.concat([this.#sync, piece]);
      if (end === -1) {
        this.#sync = line;
        break;
      }
      this.#sync = undefined;
      at = end + 1;
      if (line === undefined || memberOf(parseLine(line), 'return') !== this.#id) continue;
      this.#synced = true;
      this.#bytes = 0;
      return { kind: 'send', text: `${this.#command}\n` };
    }
    return { kind: 'wait' };
  }

  #onAnswer(line: Buffer): Next {
    const answer = parseLine(line);
    const error = parseFields(memberOf(answer, 'error'));
    if (error !== undefined) {
      const text = (name: string): string => parseText(memberOf(error, name), maxTextLength) ?? '';
      const [errorClass, message] = [text('class'), text('desc')].map((one) => printable(one, maxTextLength));
      this.settle({ ok: false, code: 'qmp-error', class: errorClass ?? '', message: message ?? '' });
    } else if (answer !== undefined && Object.hasOwn(answer, 'return'))
      this.settle({ ok: true, value: memberOf(answer, 'return') });
    else return broken('the guest agent answered with what is not its protocol');
    return { kind: 'wait' };
  }
}

/** Undefined for what is not a JSON object within bounds. */
function parseLine(line: Buffer): Fields | undefined {
  if (!nestsWithin(line, maxDepth)) return undefined;
  try {
    return parseFields(JSON.parse(line.toString('utf8')));
  } catch {
    return undefined;
  }
}

const broken = (message: string): Next => ({ kind: 'broken', message });

function failure(code: CommandFailure['code'], message: string): CommandFailure {
  return { ok: false, code, message };
}
