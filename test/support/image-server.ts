/** An HTTP server on loopback that a test tells how to misbehave. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

export type Answer = (request: IncomingMessage, response: ServerResponse, count: number) => void;

export interface ImageServer extends AsyncDisposable {
  readonly url: (path: string) => string;
  /** The Range of each request; empty: none. */
  readonly ranges: readonly string[];
  answer: Answer;
}

export async function imageServer(
  answer: Answer,
  tls?: { readonly key: string; readonly cert: string },
): Promise<ImageServer> {
  const ranges: string[] = [];
  const made = {
    answer,
    ranges,
  };
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    ranges.push(request.headers.range ?? '');
    response.on('error', () => undefined);
    made.answer(request, response, ranges.length);
  };
  const server = tls === undefined ? createServer(handle) : createTlsServer(tls, handle);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return Object.assign(made, {
    url: (path: string) => `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}${path}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  });
}

/** The first byte that the request asks for, where it may have a part: its If-Range names this version. */
export function startOf(request: IncomingMessage, etag: string): number | undefined {
  const from = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1];
  return from !== undefined && request.headers['if-range'] === etag ? Number(from) : undefined;
}

/** As a good server does it, but that the connection breaks after `most` bytes of the answer. */
export function serve(bytes: Buffer, etag = '"one"', most = Number.POSITIVE_INFINITY): Answer {
  return (request, response) => {
    const from = startOf(request, etag);
    const part = bytes.subarray(from ?? 0);
    const head = { ETag: etag, 'Content-Length': part.length };
    if (from === undefined) response.writeHead(200, head);
    else
      response.writeHead(206, {
        ...head,
        'Content-Range': `bytes ${from}-${bytes.length - 1}/${bytes.length}`,
      });
    if (part.length <= most) response.end(part);
    else response.write(part.subarray(0, most), () => response.destroy());
  };
}
