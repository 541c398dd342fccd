/**
 * A file from an HTTP server that may break off, lie, or be hostile. What was fetched is kept beside a note of what it is a part of,
 * so that it is gone on with, in this call or in a later one; whether the bytes are right the checksum alone says.
 */
import { open, readFile, rm, stat, statfs, writeFile, type FileHandle } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { setTimeout as wait } from 'node:timers/promises';
import { errnoText } from '../../api/errno-text.ts';
import { formatBytes } from '../render/sizes.ts';
import { GetRefused, httpGet, usualLimits, type GetLimits } from './http-get.ts';

export interface DownloadOptions {
  readonly signal: AbortSignal;
  /** No more is taken, whatever the server says; bytes. */
  readonly most: number;
  readonly onProgress?: (done: number, total: number | undefined) => void;
  readonly limits?: GetLimits;
  /** Before the first repetition; twice as long before each further one, 16 times at most. */
  readonly pauseMs?: number;
}

export type Downloaded =
  | { readonly ok: true; readonly bytes: number }
  | { readonly ok: false; readonly message: string; readonly hint: string; readonly kept: number };

/** What the part that is there belongs to. */
interface Note {
  readonly url: string;
  /** ETag or Last-Modified: what the server calls this version. Empty: it says none. */
  readonly validator: string;
}

/** Attempts in a row that bring less than this. */
const fruitlessBytes = 64 * 1024;
const maxFruitless = 5;
/** Beginnings from the first byte on: a server that knows no ranges and breaks off each time is left. */
const maxBeginnings = 5;
const maxNoteBytes = 8192;

/** Failures that another attempt does not mend. */
class Hopeless extends Error {
  readonly hint: string;
  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

interface Part {
  readonly path: string;
  readonly file: FileHandle;
  length: number;
  validator: string;
  total: number | undefined;
  beginnings: number;
}

const notePath = (path: string): string => `${path}.json`;

export async function forgetDownload(path: string): Promise<void> {
  await rm(path, { force: true });
  await rm(notePath(path), { force: true });
}

/** Fetches into `path`; what is there of the same URL and version is gone on with. */
export async function download(url: URL, path: string, options: DownloadOptions): Promise<Downloaded> {
  const part = await openPart(url, path);
  try {
    return await fetchAll(url, part, options);
  } catch (error) {
    const kept = part.validator === '' ? 0 : part.length;
    if (options.signal.aborted) return { ok: false, message: 'interrupted', hint: '', kept };
    if (!(error instanceof Error)) throw error;
    const hint = error instanceof Hopeless ? error.hint : 'look at the URL and the network, and try again';
    return { ok: false, message: error.message, hint, kept };
  } finally {
    await part.file.close();
    if (part.validator === '' && part.length !== part.total) await forgetDownload(path);
  }
}

async function openPart(url: URL, path: string): Promise<Part> {
  const validator = await readNote(url, path);
  const length =
    validator === ''
      ? 0
      : await stat(path).then(
          ({ size }) => size,
          () => 0,
        );
  const file = await open(path, length > 0 ? 'r+' : 'w', 0o600);
  return { path, file, length, validator, total: undefined, beginnings: 0 };
}

/** The validator of the part that is there; empty: there is none of this URL. */
async function readNote(url: URL, path: string): Promise<string> {
  const text = await readFile(notePath(path), 'utf8').catch(() => '');
  try {
    const note: unknown = text.length > maxNoteBytes ? undefined : JSON.parse(text);
    if (typeof note !== 'object' || note === null || !('url' in note) || note.url !== url.href) return '';
    return 'validator' in note && typeof note.validator === 'string' ? note.validator : '';
  } catch {
    return '';
  }
}

async function fetchAll(url: URL, part: Part, options: DownloadOptions): Promise<Downloaded> {
  const { signal, pauseMs = 500 } = options;
  for (let fruitless = 0; ;) {
    const before = part.length;
    try {
      await fetchOnce(url, part, options);
      return { ok: true, bytes: part.length };
    } catch (error) {
      if (signal.aborted || error instanceof Hopeless || !(error instanceof Error)) throw error;
      if (error instanceof GetRefused) throw new Hopeless(error.message, 'name the place itself');
      fruitless = part.length - before >= fruitlessBytes ? 0 : fruitless + 1;
      if (fruitless >= maxFruitless)
        throw new Error(`${error.message}, ${maxFruitless} times`, { cause: error });
    }
    await wait(pauseMs * 2 ** Math.min(fruitless, 4), undefined, { signal });
  }
}

async function fetchOnce(url: URL, part: Part, options: DownloadOptions): Promise<void> {
  const { signal, limits = usualLimits } = options;
  const goesOn = part.length > 0 && part.validator !== '';
  const headers = goesOn ? { Range: `bytes=${part.length}-`, 'If-Range': part.validator } : {};
  const answer = await httpGet(url, headers, { limits, signal });
  try {
    await begin(url, part, answer);
    if (part.total !== undefined) await roomFor(part, options.most);
    await takeBody(url, part, { answer, options });
  } catch (error) {
    const reset = error instanceof Error && 'code' in error && error.code === 'ECONNRESET';
    throw reset
      ? new Error(`${url.host} broke off after ${formatBytes(part.length)}`, { cause: error })
      : error;
  } finally {
    answer.destroy();
  }
}

/** What the head of the answer says, or an error where that is not to be believed. */
async function begin(url: URL, part: Part, answer: IncomingMessage): Promise<void> {
  const { statusCode: status = 0, headers } = answer;
  const startAnew = async (): Promise<void> => {
    part.beginnings += 1;
    if (part.beginnings > maxBeginnings)
      throw new Hopeless(
        `${url.host} breaks off and begins anew each time`,
        'fetch the file with another program, and add that',
      );
    await part.file.truncate(0);
    part.length = 0;
  };
  if (status === 206 && part.length > 0) {
    const [, from, total] =
      /^bytes (\d{1,16})-\d{1,16}\/(\d{1,16})$/.exec(headers['content-range'] ?? '') ?? [];
    if (Number(from) === part.length && Number(total) >= part.length) {
      part.total = Number(total);
      return;
    }
    await startAnew();
    part.validator = '';
    throw new Error(`${url.host} gives another part than was asked for`);
  }
  if (status === 416) {
    await startAnew();
    part.validator = '';
    throw new Error(`${url.host} has no such part`);
  }
  if (status !== 200) {
    const message = `${url.href} answers with status ${status}`;
    if (status === 408 || status === 429 || status >= 500) throw new Error(message);
    throw new Hopeless(message, 'look at the URL');
  }
  // SECURITY: rule download. What unpacks to more than was sent is not taken.
  if (!['', 'identity'].includes(headers['content-encoding'] ?? ''))
    throw new Hopeless(`${url.host} sends it packed, although that was not asked for`, 'name another server');
  await startAnew();
  const length = /^\d{1,16}$/.exec(headers['content-length'] ?? '')?.[0];
  part.total = length === undefined ? undefined : Number(length);
  part.validator = validatorOf(headers);
  const note: Note = { url: url.href, validator: part.validator };
  await writeFile(notePath(part.path), JSON.stringify(note), { mode: 0o600 });
}

/** For `If-Range` (RFC 9110, 13.1.5): a strong ETag, else the time of the last change. */
function validatorOf(headers: IncomingMessage['headers']): string {
  const { etag = '', 'last-modified': changed = '' } = headers;
  if (/^"[\u0021\u0023-\u007e]{1,500}"$/.test(etag)) return etag;
  return /^[A-Za-z0-9 ,:]{20,40}$/.test(changed) ? changed : '';
}

async function roomFor({ path, total = 0, length }: Part, most: number): Promise<void> {
  if (total > most)
    throw new Hopeless(
      `it has ${formatBytes(total)}, and ${formatBytes(most)} are taken at most`,
      'allow more with --limit',
    );
  const { bavail, bsize } = await statfs(path);
  if (total - length > bavail * bsize)
    throw new Hopeless(
      `it needs ${formatBytes(total - length)}, and ${formatBytes(bavail * bsize)} are free for ${path}`,
      'make room, or set XDG_CACHE_HOME to a place that has it',
    );
}

async function takeBody(
  url: URL,
  part: Part,
  { answer, options }: { readonly answer: IncomingMessage; readonly options: DownloadOptions },
): Promise<void> {
  const { most, onProgress } = options;
  for await (const piece of answer as AsyncIterable<Buffer>) {
    // SECURITY: rule download. An answer without end, or longer than it said, is cut off.
    if (part.length + piece.length > (part.total ?? most)) {
      if (part.total === undefined)
        throw new Hopeless(`${url.host} sends more than ${formatBytes(most)}`, 'allow more with --limit');
      throw new Error(`${url.host} sends more than it said`);
    }
    await writeAll(part, piece);
    onProgress?.(part.length, part.total);
  }
  if (!answer.complete || (part.total !== undefined && part.length < part.total))
    throw new Error(`${url.host} broke off after ${formatBytes(part.length)}`);
}

async function writeAll(part: Part, piece: Buffer): Promise<void> {
  try {
    for (let at = 0; at < piece.length;) {
      const { bytesWritten } = await part.file.write(piece, at, piece.length - at, part.length);
      at += bytesWritten;
      part.length += bytesWritten;
    }
  } catch (error) {
    throw new Hopeless(`${part.path} cannot be written: ${errnoText(error)}`, 'make room and try again');
  }
}
