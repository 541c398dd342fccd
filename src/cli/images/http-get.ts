/**
 * One GET over HTTP, redirections followed. The server is hostile: what it sends is bounded in time here, and in size by who
 * reads the body. `node:http` and not `fetch`, which would unpack what the server says is packed.
 */
import { request as requestPlain, type IncomingMessage } from 'node:http';
import { request as requestTls } from 'node:https';
import { redirected } from './image-url.ts';

export interface GetLimits {
  /** Until the head of an answer is there, milliseconds. */
  readonly headMs: number;
  /** Between two pieces of a body, milliseconds. */
  readonly idleMs: number;
}
export const usualLimits: GetLimits = { headMs: 30_000, idleMs: 60_000 };

/** Asking again will not help. */
export class GetRefused extends Error {}

const maxRedirections = 5;
const redirections: ReadonlySet<number | undefined> = new Set([301, 302, 303, 307, 308]);

/** The answer with its body unread; rejects where there is none. The body fails with an error where it breaks off. */
export async function httpGet(
  url: URL,
  headers: Readonly<Record<string, string>>,
  { limits, signal }: { readonly limits: GetLimits; readonly signal: AbortSignal },
): Promise<IncomingMessage> {
  let from = url;
  for (let times = 0; times <= maxRedirections; times += 1) {
    const answer = await getOnce(from, headers, { limits, signal });
    if (!redirections.has(answer.statusCode)) return answer;
    answer.destroy();
    const next = redirected(from, answer.headers.location ?? '');
    if (next === undefined)
      throw new GetRefused(
        `${from.host} sends to a place that is not followed: "${(answer.headers.location ?? '').slice(0, 200)}"`,
      );
    from = next;
  }
  throw new GetRefused(`${url.host} sends on more than ${maxRedirections} times`);
}

function getOnce(
  url: URL,
  headers: Readonly<Record<string, string>>,
  { limits, signal }: { readonly limits: GetLimits; readonly signal: AbortSignal },
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? requestTls : requestPlain;
    const asked = send(url, {
      agent: false,
      signal,
      // Bytes as they are: what is checked is what was sent.
      headers: { 'Accept-Encoding': 'identity', 'User-Agent': 'qward', ...headers },
    });
    const late = setTimeout(
      () => asked.destroy(new Error(`${url.host} does not answer within ${limits.headMs / 1000} s`)),
      limits.headMs,
    );
    asked.once('response', (answer) => {
      clearTimeout(late);
      // SECURITY: rule download. A server that stops sending is left.
      answer.setTimeout(limits.idleMs, () =>
        answer.destroy(new Error(`${url.host} sent nothing for ${limits.idleMs / 1000} s`)),
      );
      resolve(answer);
    });
    asked.once('error', (error) => {
      clearTimeout(late);
      reject(error);
    });
    asked.end();
  });
}

/** A short text, such as a list of checksums; rejects where it is longer than `most` bytes. */
export async function getText(
  url: URL,
  most: number,
  options: { readonly limits: GetLimits; readonly signal: AbortSignal },
): Promise<string> {
  const answer = await httpGet(url, {}, options);
  if (answer.statusCode !== 200) {
    answer.destroy();
    throw new GetRefused(`${url.href} answers with status ${answer.statusCode ?? 0}`);
  }
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of answer as AsyncIterable<Buffer>) {
    length += piece.length;
    if (length > most) {
      answer.destroy();
      throw new GetRefused(`${url.href} is longer than ${most} bytes`);
    }
    pieces.push(piece);
  }
  if (!answer.complete) throw new Error(`${url.host} broke off`);
  return Buffer.concat(pieces).toString('utf8');
}
