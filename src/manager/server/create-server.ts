/** The API over HTTP: a route for each row of the contract, nothing beside it. */
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { documents, routes, type Route } from '../../api/contract.ts';
import type { Fault } from '../../definition/fault.ts';
import { version } from '../../protocol/version.ts';
import type { EventHistory } from '../events.ts';
import type { History } from '../history/history.ts';
import type { Log } from '../log.ts';
import type { Machines } from '../machines.ts';
import { failure, type Outcome } from '../outcome.ts';
import type { Identity } from '../roles.ts';
import type { Policy } from '../../policy/policy.ts';
import { authorize, hasRole } from './authorize.ts';
import type { Handlers } from './call.ts';
import { holdToContract } from './hold-to-contract.ts';
import { watchConnections } from './connections.ts';
import { parseRequest } from './parse-request.ts';
import { createRecorder, type Recorder } from './record-call.ts';
import { errorReply } from './reply.ts';
import { acceptStreams, type StreamHandlers } from './streams.ts';

export interface ServerOptions {
  readonly handlers: Handlers;
  readonly streams: StreamHandlers;
  /** Figures of the machines that the user may see, in the text format of Prometheus. */
  readonly metrics: (identity: Identity) => Promise<string>;
  readonly machines: Machines;
  readonly events: EventHistory;
  readonly history: History;
  /** The policy of now, for the roles. */
  readonly policy: () => Policy;
  readonly log: Log;
  /** Names the line of the policy that a fault comes from. */
  readonly placed: (fault: Fault) => Fault;
  /** Hold what handlers give against the contract: for development and tests. */
  readonly checkResults: boolean;
}

const maxBodyBytes = 512 * 1024;
const headersTimeoutMs = 10_000;
const requestTimeoutMs = 30_000;
const keepAliveTimeoutMs = 60_000;

/** Throws where the contract and the handlers are not the same set. */
export function createServer(options: ServerOptions): FastifyInstance {
  checkHandlers(options);
  const app = Fastify({
    bodyLimit: maxBodyBytes,
    requestTimeout: requestTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    forceCloseConnections: true,
    return503OnClosing: false,
    http: { headersTimeout: headersTimeoutMs, maxHeaderSize: 16 * 1024 },
  });
  holdToContract(app);
  const connections = watchConnections(app.server, options.policy);
  const record = createRecorder(options);
  acceptBodies(app);
  app.setErrorHandler((error, _request, reply) => sendError(reply, error, options.log));
  app.setNotFoundHandler((request, reply) =>
    send(
      reply,
      failure(
        'request-invalid',
        `there is no ${request.method} ${request.url.slice(0, 200)}`,
        'see /openapi.json',
      ),
    ),
  );
  for (const [name, route] of Object.entries<Route>(routes)) {
    app.route({
      method: route.method,
      url: route.path,
      exposeHeadRoute: false,
      // SECURITY: rule HTTP. Of who has no right here not a byte of a body is kept or parsed.
      onRequest: async (request, reply) => {
        const identity = connections.identityOf(request.raw.socket);
        if (identity === undefined) return reply.hijack();
        if (!hasBody(request) || hasRole(options.machines, identity)) return;
        const closed = (): AbortSignal => closeOf(reply);
        const outcome = await answer(options, record, { name, route, identity, request, closed });
        return await send(reply.header('connection', 'close'), outcome);
      },
      handler: async (request, reply) => {
        const identity = connections.identityOf(request.raw.socket);
        if (identity === undefined) return reply.hijack();
        const closed = (): AbortSignal => closeOf(reply);
        const outcome = await answer(options, record, { name, route, identity, request, closed });
        return await send(reply, outcome);
      },
    });
  }
  for (const [name, { path, right }] of Object.entries(documents))
    app.get(path, { exposeHeadRoute: false }, async (request, reply) => {
      const identity = connections.identityOf(request.raw.socket);
      if (identity === undefined) return reply.hijack();
      const granted = authorize(options.machines, identity, { right, name: undefined });
      if (!granted.ok) return await send(reply, granted);
      if (name === 'metrics')
        return await reply
          .type('text/plain; version=0.0.4; charset=utf-8')
          .send(await options.metrics(identity));
      // Loaded when it is asked for: its making costs more memory than all the rest of the API.
      const { openApiDocument } = await import('../../api/openapi.ts');
      return await reply.send(openApiDocument(version));
    });
  const closeStreams = acceptStreams(app.server, { ...options, ...connections, record });
  app.addHook('preClose', async () => {
    closeStreams();
  });
  return app;
}

function hasBody({ headers }: FastifyRequest): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

interface Incoming {
  readonly name: string;
  readonly route: Route;
  readonly identity: Identity;
  readonly request: FastifyRequest;
  readonly closed: () => AbortSignal;
}

type AnyHandler = (call: unknown) => Promise<Outcome<unknown>> | Outcome<unknown>;

async function answer(
  options: ServerOptions,
  record: Recorder,
  incoming: Incoming,
): Promise<Outcome<unknown>> {
  const { name, route, identity, request } = incoming;
  const machine = nameIn(request.params);
  const granted = authorize(options.machines, identity, { right: route.right, name: machine });
  const work = async (): Promise<Outcome<unknown>> =>
    granted.ok ? await callHandler(options, incoming, granted.value) : granted;
  if (route.logged !== true) return await work();
  return await record({ name, identity, machine, body: request.body, granted: granted.ok }, work);
}

async function callHandler(
  { handlers, checkResults, placed }: ServerOptions,
  { name, route, identity, request, closed }: Incoming,
  machine: unknown,
): Promise<Outcome<unknown>> {
  if (route.stream === true)
    return failure('request-invalid', `${route.path} is a WebSocket`, 'connect to it with an Upgrade header');
  const parsed = parseRequest(route, { params: request.params, query: request.query, body: request.body });
  if (!parsed.ok) return parsed;
  // The table is typed by call; the compiler cannot join a route of the loop with its handler.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  const handler = handlers[name as keyof Handlers] as AnyHandler;
  const outcome = await handler({ ...parsed.value, identity, machine, closed });
  if (checkResults && outcome.ok) {
    const { value } = outcome;
    route.result?.parse(Buffer.isBuffer(value) ? JSON.parse(value.toString('utf8')) : value);
  }
  return outcome.ok ? outcome : { ok: false, faults: outcome.faults.map(placed) };
}

function send(reply: FastifyReply, outcome: Outcome<unknown>): FastifyReply {
  if (!outcome.ok) {
    const { status, body } = errorReply(outcome.faults);
    return reply.code(status).send(body);
  }
  const { value } = outcome;
  // Fastify would look for a serializer; text that is JSON already goes out as it is.
  return reply
    .header('content-type', 'application/json')
    .send(Buffer.isBuffer(value) ? value : JSON.stringify(value));
}

function sendError(reply: FastifyReply, error: unknown, log: Log): FastifyReply {
  const status: unknown = error instanceof Error ? Reflect.get(error, 'statusCode') : undefined;
  if (error instanceof Error && typeof status === 'number' && status >= 400 && status < 500) {
    const hint = `JSON in UTF-8 is expected, ${maxBodyBytes} bytes at most`;
    return send(reply, failure('request-invalid', error.message.slice(0, 300), hint));
  }
  log.error('a request failed', { error });
  return send(
    reply,
    failure('internal', 'a fault of qward itself', 'please report it, with the log of qward-manager'),
  );
}

/** JSON only; an empty body is none. */
function acceptBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    const text = body.toString();
    if (text === '') {
      done(null, undefined);
      return;
    }
    try {
      done(null, JSON.parse(text));
    } catch {
      done(Object.assign(new Error('the body is not JSON'), { statusCode: 400 }), undefined);
    }
  });
}

/** Fires when the answer is sent, or cannot be sent any more. */
function closeOf(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    controller.abort();
  });
  return controller.signal;
}

function nameIn(params: unknown): string | undefined {
  const name: unknown =
    typeof params === 'object' && params !== null ? Reflect.get(params, 'name') : undefined;
  return typeof name === 'string' ? name : undefined;
}

function checkHandlers({ handlers, streams }: ServerOptions): void {
  const handled = [...Object.keys(handlers), ...Object.keys(streams)].sort().join(' ');
  const promised = Object.keys(routes).sort().join(' ');
  if (handled !== promised)
    throw new Error(`the contract has the calls ${promised}; there are handlers for ${handled}`);
}
