/** The client of the API: typed by the contract, for the CLI and for other programs. Node 20 or later; no schema is loaded. */
import type { CallInput, CallName, CallResult, Calls, HistoryEntry, MachineEvent } from './calls.ts';
import { callRequest } from './call-request.ts';
import type { DiskClient } from './disk-client.ts';
import { endpoints } from './endpoints.ts';
import type { ApiErrorBody, ApiFault } from './errors.ts';
import type { ClaimsClient, PolicyPlaces } from './claims-client.ts';
import type { GuestFileStream } from './guest-file.ts';
import { HttpClient, TransportError } from './http.ts';
import type { HttpResponse } from './http-response.ts';
import { parseTrusted } from './json.ts';
import type { MoveStream } from './move-stream.ts';
import type { OwnFiles } from './own-files.ts';
import { localReach, type Connection, type Reach } from './reach.ts';
import type { ConsoleStream, EventStream } from './streams.ts';
import type { RunOptions } from './throwaway/open-throwaway.ts';
import type { ThrowawayMachine } from './throwaway/throwaway-machine.ts';
import type { VncStream } from './vnc-stream.ts';

export type Reply<Result> =
  | { readonly ok: true; readonly result: Result }
  | { readonly ok: false; readonly status: number; readonly faults: readonly ApiFault[] };

/**
 * Beside the path, every part of how the instance is reached can be another. With `connect` of one's own (a tunnel to another
 * host), `uid` says whom the other side takes the caller for, and `targets` makes files there; both matter to `ownFiles`
 * and `disks` alone.
 */
export interface ClientOptions extends Partial<Reach> {
  /** Path of the manager's socket; default /run/qward/api.sock. */
  readonly socketPath?: string;
}

export interface CallOptions {
  /** Time limit of the whole call; the default leaves room for what the call waits for. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

type Arguments<Input> = unknown extends Input
  ? [input?: Record<string, never>, options?: CallOptions]
  : Partial<Input> extends Input
    ? [input?: Input, options?: CallOptions]
    : [input: Input, options?: CallOptions];

export const defaultSocketPath = '/run/qward/api.sock';

const defaultTimeoutMs = 60_000;
/** Stop, wait and detach take as long as they are told to, a day at most, and what is done to images or memory as long as that has bytes; a start runs QEMU and audits it, a drill has a jail made for some eighty attempts. */
const longestMs = 86_400_000 + defaultTimeoutMs;
const timeouts: Readonly<Partial<Record<CallName, number>>> = {
  start: 300_000,
  drill: 300_000,
  exec: longestMs,
  freeze: 120_000,
  thaw: 120_000,
  sendKeys: longestMs,
  stop: longestMs,
  wait: longestMs,
  hostShutdown: longestMs,
  hostBoot: longestMs,
  save: longestMs,
  snapshotCreate: longestMs,
  snapshotRevert: longestMs,
  settleMove: 300_000,
  detach: longestMs,
  mirror: longestMs,
  backup: longestMs,
  overlay: longestMs,
  commit: longestMs,
  pull: longestMs,
  diskInfo: longestMs,
  diskCreate: longestMs,
  diskConvert: longestMs,
  diskImport: longestMs,
  diskResize: longestMs,
  diskCheck: longestMs,
  diskRebase: longestMs,
  diskCommit: longestMs,
  diskSnapshot: longestMs,
};

/** What a response says; throws TransportError where it is not JSON of the expected kind. */
export function readReply<Result>(response: HttpResponse): Reply<Result> {
  const text = response.body.toString('utf8');
  try {
    if (response.status >= 200 && response.status < 300)
      return { ok: true, result: parseTrusted<Result>(text) };
    return { ok: false, status: response.status, faults: [...parseTrusted<ApiErrorBody>(text).faults] };
  } catch (error) {
    const message = `an answer with status ${response.status} that is not the API's JSON`;
    throw new TransportError('broken', message, { cause: error });
  }
}

/**
 * Calls give a Reply; only a broken or missing connection throws (TransportError). Calls may run side by side.
 * `close` ends idle connections; they do not keep the process alive.
 */
export class QwardClient {
  readonly reach: Reach;
  readonly #http: HttpClient;

  constructor({ socketPath = defaultSocketPath, ...others }: ClientOptions = {}) {
    this.reach = { ...localReach(socketPath), ...others };
    this.#http = new HttpClient(this.#connect);
  }

  async call<Name extends CallName>(
    name: Name,
    ...[input, options = {}]: Arguments<CallInput<Name>>
  ): Promise<Reply<CallResult<Name>>> {
    const endpoint = endpoints[name];
    const response = await this.#http.request({
      method: endpoint.method,
      ...callRequest(endpoint, input ?? {}),
      timeoutMs: options.timeoutMs ?? timeouts[name] ?? defaultTimeoutMs,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    return readReply(response);
  }

  /** What happens from now on to the machines that you may see. */
  async events(): Promise<Reply<EventStream<MachineEvent>>> {
    const { openEvents } = await import('./streams.ts');
    return openEvents(this.#connect);
  }

  /** Entries of the history as they come. */
  async followHistory(
    input: Calls['historyFollow']['input'] = {},
  ): Promise<Reply<EventStream<HistoryEntry>>> {
    const { openHistory } = await import('./streams.ts');
    return openHistory(this.#connect, input);
  }

  /** Attaches to the serial console of a running machine. */
  async console(input: Calls['console']['input']): Promise<Reply<ConsoleStream>> {
    const { openConsole } = await import('./streams.ts');
    return openConsole(this.#connect, input);
  }

  /** The screen of a running machine that has one (`vnc: true`), for a viewer that speaks RFB. */
  async vnc(input: Calls['vnc']['input']): Promise<Reply<VncStream>> {
    const { openVnc } = await import('./vnc-stream.ts');
    return openVnc(this.#connect, input);
  }

  /**
   * A running machine on its way to another manager: its frames are to be carried to the stream of `arrive` of that one, and back.
   * The last text frame is for the client (`MoveEnd`).
   */
  async migrate(input: Calls['migrate']['input']): Promise<Reply<MoveStream>> {
    const { openMoveStream } = await import('./move-stream.ts');
    return openMoveStream(this.#connect, 'migrate', input);
  }

  /** The other end: the machine is defined there, and does not run. */
  async arrive(input: Calls['arrive']['input']): Promise<Reply<MoveStream>> {
    const { openMoveStream } = await import('./move-stream.ts');
    return openMoveStream(this.#connect, 'arrive', input);
  }

  /** A file of a running guest, read or written by its agent. */
  async guestFile(input: Calls['guestFile']['input']): Promise<Reply<GuestFileStream>> {
    const { openGuestFile } = await import('./guest-file.ts');
    return openGuestFile(this.#connect, input);
  }

  /**
   * A machine on throwaway overlays, with commands and files in and out, gone when it is disposed of, or when this process ends:
   * `await using machine = await client.run({image: 'debian-12'})`. Throws RunFault where it does not come up.
   */
  async run(options: RunOptions): Promise<ThrowawayMachine> {
    const { openThrowaway } = await import('./throwaway/open-throwaway.ts');
    return await openThrowaway(this, options);
  }

  /**
   * The calls that define machines, with claims: the broker is told which of the caller's files the machine may open, on the
   * socket beside the manager's. For every caller but root.
   */
  async ownFiles(): Promise<OwnFiles> {
    const { OwnFiles: Loaded } = await import('./own-files.ts');
    return new Loaded(this, await this.claims());
  }

  /** The calls that work on images, as jobs: files are claimed for each, and what is made gets its name when it is whole. */
  async disks(): Promise<DiskClient> {
    const { DiskClient: Loaded } = await import('./disk-client.ts');
    return new Loaded(this, await this.claims(), this.reach);
  }

  /** The broker's socket of the same instance: which files machines may open with the caller's rights. */
  async claims(): Promise<ClaimsClient> {
    const { ClaimsClient: Loaded } = await import('./claims-client.ts');
    const policy = async (): Promise<PolicyPlaces | undefined> => {
      const reply = await this.call('policy').catch(() => undefined);
      return reply?.ok === true ? reply.result : undefined;
    };
    return new Loaded({ reach: this.reach, policy });
  }

  close(): void {
    this.#http.close();
    this.reach.close();
  }

  readonly #connect = (): Connection => this.reach.connect('api');

  [Symbol.dispose](): void {
    this.close();
  }
}
