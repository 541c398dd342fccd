/** The client of the API: typed by the contract, for the CLI and for other programs. Node 20 or later; no schema is loaded. */
import type { CallInput, CallName, CallResult, Calls, HistoryEntry, MachineEvent } from './calls.ts';
import { callRequest } from './call-request.ts';
import type { DiskClient } from './disk-client.ts';
import { endpoints } from './endpoints.ts';
import type { ApiErrorBody, ApiFault } from './errors.ts';
import { HttpClient, TransportError } from './http.ts';
import type { HttpResponse } from './http-response.ts';
import { parseTrusted } from './json.ts';
import type { OwnFiles } from './own-files.ts';
import type { ConsoleStream, EventStream } from './streams.ts';

export type Reply<Result> =
  | { readonly ok: true; readonly result: Result }
  | { readonly ok: false; readonly status: number; readonly faults: readonly ApiFault[] };

export interface ClientOptions {
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
/** Stop and wait take as long as they are told to, a day at most; a start runs QEMU and audits it. */
const longestMs = 86_400_000 + defaultTimeoutMs;
const timeouts: Readonly<Partial<Record<CallName, number>>> = {
  start: 300_000,
  stop: longestMs,
  wait: longestMs,
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
  readonly socketPath: string;
  readonly #http: HttpClient;

  constructor(options: ClientOptions = {}) {
    this.socketPath = options.socketPath ?? defaultSocketPath;
    this.#http = new HttpClient(this.socketPath);
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
    return openEvents(this.socketPath);
  }

  /** Entries of the history as they come. */
  async followHistory(
    input: Calls['historyFollow']['input'] = {},
  ): Promise<Reply<EventStream<HistoryEntry>>> {
    const { openHistory } = await import('./streams.ts');
    return openHistory(this.socketPath, input);
  }

  /** Attaches to the serial console of a running machine. */
  async console(input: Calls['console']['input']): Promise<Reply<ConsoleStream>> {
    const { openConsole } = await import('./streams.ts');
    return openConsole(this.socketPath, input);
  }

  /**
   * The calls that define machines, with claims: the broker is told which of the caller's files the machine may open, on the
   * socket beside the manager's. For every caller but root.
   */
  async ownFiles(): Promise<OwnFiles> {
    const [{ OwnFiles: Loaded }, { ClaimsClient, claimsSocketBeside }] = await Promise.all([
      import('./own-files.ts'),
      import('./claims-client.ts'),
    ]);
    return new Loaded(this, new ClaimsClient({ socketPath: claimsSocketBeside(this.socketPath) }));
  }

  /** The calls that work on images, as jobs: files are claimed for each, and what is made gets its name when it is whole. */
  async disks(): Promise<DiskClient> {
    const [{ DiskClient: Loaded }, { ClaimsClient, claimsSocketBeside }] = await Promise.all([
      import('./disk-client.ts'),
      import('./claims-client.ts'),
    ]);
    return new Loaded(this, new ClaimsClient({ socketPath: claimsSocketBeside(this.socketPath) }));
  }

  close(): void {
    this.#http.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
