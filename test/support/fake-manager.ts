/**
 * A server that speaks the API's contract on a Unix socket and holds both sides to it: what a client sends must pass the
 * schemas, and so must what a test lets it answer.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WebSocketServer, type WebSocket } from 'ws';
import type { CallInput, CallName, CallResult, StreamName } from '../../src/api/calls.ts';
import type { Reply } from '../../src/api/client.ts';
import { routes, type Route } from '../../src/api/contract.ts';
import { errorKinds, type ApiFault, type ErrorCode } from '../../src/api/errors.ts';

export type Handlers = {
  readonly [Name in CallName]?: (
    input: Required<CallInput<Name>>,
  ) => Reply<CallResult<Name>> | Promise<Reply<CallResult<Name>>>;
};

export interface FakeManagerOptions {
  readonly handlers: Handlers;
  /** What is done with a stream, or how it is refused. */
  readonly streams?: Readonly<
    Partial<Record<StreamName, ((socket: WebSocket, query: URLSearchParams) => void) | Reply<never>>>
  >;
}

export interface FakeManager extends AsyncDisposable {
  readonly socketPath: string;
  /** Calls in the order in which they came, with their input after the schemas. */
  readonly calls: readonly { readonly name: string; readonly input: Readonly<Record<string, unknown>> }[];
}

export const ok = <Result>(result: Result): Reply<Result> => ({ ok: true, result });

export function refuse(code: ErrorCode, message: string, rest: Partial<ApiFault> = {}): Reply<never> {
  return { ok: false, status: errorKinds[code].status, faults: [{ code, message, hint: '', ...rest }] };
}

interface Match {
  readonly name: string;
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
}

function matchRoute(method: string | undefined, target: string | undefined): Match | undefined {
  const { pathname, searchParams } = new URL(target ?? '/', 'http://qward');
  for (const [name, route] of Object.entries<Route>(routes)) {
    const pattern = new RegExp(`^${route.path.replaceAll(/:(\w+)/g, '(?<$1>[^/]+)')}$`);
    const found = route.method === method ? pattern.exec(pathname) : null;
    if (found === null) continue;
    const params = Object.fromEntries(
      Object.entries(found.groups ?? {}).map(([key, value]) => [key, decodeURIComponent(value)]),
    );
    return { name, route, params, query: searchParams };
  }
  return undefined;
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return pieces.length === 0 ? undefined : JSON.parse(Buffer.concat(pieces).toString('utf8'));
}

function parseInput({ route, params, query }: Match, body: unknown): Record<string, unknown> {
  return {
    ...(route.params?.parse(params) as object | undefined),
    ...(route.query?.parse(Object.fromEntries(query)) as object | undefined),
    ...(route.body?.parse(body) as object | undefined),
  };
}

function send(response: ServerResponse, reply: Reply<unknown>): void {
  const body = JSON.stringify(reply.ok ? reply.result : { faults: reply.faults });
  response.writeHead(reply.ok ? 200 : reply.status, { 'content-type': 'application/json' });
  response.end(body);
}

export async function startFakeManager(options: FakeManagerOptions): Promise<FakeManager> {
  const directory = mkdtempSync(join(tmpdir(), 'qward-fake-'));
  const socketPath = join(directory, 'api.sock');
  const calls: { name: string; input: Record<string, unknown> }[] = [];
  const answer = async (request: IncomingMessage): Promise<Reply<unknown>> => {
    const match = matchRoute(request.method, request.url);
    if (match === undefined) return refuse('request-invalid', `no route ${request.method} ${request.url}`);
    try {
      const input = parseInput(match, await readBody(request));
      calls.push({ name: match.name, input });
      const handler = options.handlers[match.name as CallName] as
        | ((input: unknown) => Reply<unknown> | Promise<Reply<unknown>>)
        | undefined;
      if (handler === undefined) return refuse('internal', `the test has no handler for ${match.name}`);
      const reply = await handler(input);
      return reply.ok ? { ok: true, result: match.route.result?.parse(reply.result) } : reply;
    } catch (error) {
      return refuse('request-invalid', `${match.name}: ${String(error)}`);
    }
  };
  const server = createServer((request, response) => {
    answer(request).then(
      (reply) => send(response, reply),
      (error) => response.destroy(error),
    );
  });
  const streams = new WebSocketServer({ noServer: true });
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const match = matchRoute(request.method, request.url);
    const stream = match === undefined ? undefined : options.streams?.[match.name as StreamName];
    if (match === undefined || stream === undefined) return void socket.destroy();
    calls.push({ name: match.name, input: parseInput(match, undefined) });
    if (typeof stream === 'function')
      return streams.handleUpgrade(request, socket, head, (accepted) => stream(accepted, match.query));
    const body = JSON.stringify({ faults: stream.ok ? [] : stream.faults });
    const status = stream.ok ? 500 : stream.status;
    socket.end(
      `HTTP/1.1 ${status} No\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    );
  });
  server.listen(socketPath);
  await once(server, 'listening');
  return {
    socketPath,
    calls,
    async [Symbol.asyncDispose]() {
      for (const client of streams.clients) client.terminate();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
