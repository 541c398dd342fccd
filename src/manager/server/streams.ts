/** The WebSocket calls of the contract: who may, then the upgrade, then the stream's own handler. */
import { STATUS_CODES, type IncomingMessage, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { Socket } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';
import { routes, type Route } from '../../api/contract.ts';
import type { Fault } from '../../definition/fault.ts';
import type { Log } from '../log.ts';
import type { Machines } from '../machines.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { EventHistory } from '../events.ts';
import type { Identity } from '../roles.ts';
import { authorize, type AskedRight } from './authorize.ts';
import type { Call, StreamName } from './call.ts';
import type { Connections } from './connections.ts';
import { parseRequest } from './parse-request.ts';
import type { Recorder } from './record-call.ts';
import { errorReply } from './reply.ts';
import { watchRights } from './stream-rights.ts';

/** Whether the stream can be had is known before the upgrade; then the socket is handed over. */
export type StreamHandler<Name extends StreamName> = (
  call: Omit<Call<Name>, 'closed'>,
) => Outcome<(socket: WebSocket) => void>;
export type StreamHandlers = { readonly [Name in StreamName]: StreamHandler<Name> };

export interface StreamOptions extends Connections {
  readonly streams: StreamHandlers;
  readonly machines: Machines;
  readonly events: EventHistory;
  readonly log: Log;
  readonly record: Recorder;
}

const maxMessageBytes = 64 * 1024;

/** The result closes every stream that is open: a server that ends waits for its connections. */
export function acceptStreams(server: Server, options: StreamOptions): () => void {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: maxMessageBytes,
    perMessageDeflate: false,
  });
  const watch = watchRights(options);
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    const opened = openStream(options, request, socket);
    if (!opened.ok) {
      refuse(socket, opened.faults);
      return;
    }
    const { asked, identity, serve } = opened.value;
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      // What the peer sends against the protocol ends its connection, nothing else.
      webSocket.on('error', () => {
        webSocket.terminate();
      });
      watch.add(webSocket, { asked, identity });
      serve(webSocket);
    });
  });
  return () => {
    watch.end();
    for (const client of sockets.clients) client.terminate();
  };
}

type AnyStream = (call: unknown) => Outcome<(socket: WebSocket) => void>;

const gone = failure('not-allowed', 'nobody is at the other end', 'connect again');

interface OpenedStream {
  readonly asked: AskedRight;
  readonly identity: Identity;
  readonly serve: (socket: WebSocket) => void;
}

function openStream(
  { streams, machines, identityOf, record }: StreamOptions,
  request: IncomingMessage,
  socket: Duplex,
): Outcome<OpenedStream> {
  const identity = socket instanceof Socket ? identityOf(socket) : undefined;
  if (identity === undefined) return gone;
  const url = URL.parse(request.url ?? '', 'ws://qward');
  const found = url === null ? undefined : findStream(url.pathname);
  if (url === null || found === undefined)
    return failure('request-invalid', 'there is no such WebSocket', 'see /openapi.json');
  const { name, route, params } = found;
  const query = Object.fromEntries(url.searchParams);
  const asked = { right: route.right, name: params['name'] };
  const granted = authorize(machines, identity, asked);
  const opened = granted.ok ? openGranted() : granted;
  if (route.logged === true) {
    const call = { name, identity, machine: asked.name, body: query, granted: granted.ok };
    void record(call, () => Promise.resolve(opened));
  }
  return opened;

  function openGranted(): Outcome<OpenedStream> {
    if (identity === undefined) return gone;
    const parsed = parseRequest(route, { params, query, body: undefined });
    if (!parsed.ok) return parsed;
    // The table is typed by stream; the compiler cannot join the name that was found with its handler.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    const handler = streams[name as StreamName] as AnyStream;
    const machine = granted.ok ? granted.value : undefined;
    const serve = handler({ ...parsed.value, identity, machine });
    return serve.ok ? success({ asked, identity, serve: serve.value }) : serve;
  }
}

interface FoundStream {
  readonly name: string;
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
}

function findStream(path: string): FoundStream | undefined {
  for (const [name, route] of Object.entries<Route>(routes)) {
    if (route.stream !== true) continue;
    const params = matchPath(route.path, path);
    if (params.ok) return { name, route, params: params.value };
  }
  return undefined;
}

function matchPath(pattern: string, path: string): Outcome<Readonly<Record<string, string>>> {
  const [wanted, given] = [pattern.split('/'), path.split('/')];
  const none = failure('request-invalid', 'another path', '');
  if (wanted.length !== given.length) return none;
  const params: Record<string, string> = {};
  for (const [index, part] of wanted.entries()) {
    const found = given[index] ?? '';
    if (part.startsWith(':')) params[part.slice(1)] = found;
    else if (part !== found) return none;
  }
  return success(params);
}

function refuse(socket: Duplex, faults: readonly Fault[]): void {
  const { status, body } = errorReply(faults);
  const text = JSON.stringify(body);
  // The server's time limits are over for it: a peer that keeps its side open would hold the connection.
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nConnection: close\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
    () => void socket.destroy(),
  );
}
