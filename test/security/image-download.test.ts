/** As rule download has it: fetching from servers that break off, lie, stop, and never end. Nothing of theirs is taken for the file, or fills the disk. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { download, forgetDownload, type Downloaded } from '../../src/cli/images/download.ts';
import { imageServer, serve, startOf, type Answer } from '../support/image-server.ts';

const directory = mkdtempSync(join(tmpdir(), 'qward-download-'));
after(() => rmSync(directory, { recursive: true }));
const MiB = 1024 ** 2;
const bytes = randomBytes(3 * MiB);
let count = 0;

interface Fetched {
  readonly path: string;
  readonly outcome: Downloaded;
  readonly ranges: readonly string[];
}

async function fetchFrom(
  answer: Answer,
  options: { readonly most?: number; readonly path?: string; readonly at?: string } = {},
): Promise<Fetched> {
  await using server = await imageServer(answer);
  const path = options.path ?? join(directory, String((count += 1)));
  const outcome = await download(new URL(server.url(options.at ?? '/image.qcow2')), path, {
    signal: new AbortController().signal,
    most: options.most ?? 16 * MiB,
    limits: { headMs: 500, idleMs: 500 },
    pauseMs: 1,
  });
  return { path, outcome, ranges: server.ranges };
}

function assertWhole({ path, outcome }: Fetched): void {
  assert.deepEqual(outcome, { ok: true, bytes: bytes.length });
  assert.ok(readFileSync(path).equals(bytes));
}

function failure({ path, outcome }: Fetched, { stays = false } = {}): string {
  assert.ok(!outcome.ok);
  assert.equal(existsSync(path), stays, outcome.message);
  return outcome.message;
}

test('a good server is asked once', async () => {
  const fetched = await fetchFrom(serve(bytes));
  assertWhole(fetched);
  assert.deepEqual(fetched.ranges, ['']);
});

test('a server that breaks off is asked for the rest, each time', async () => {
  const fetched = await fetchFrom(serve(bytes, '"one"', MiB));
  assertWhole(fetched);
  assert.ok(fetched.ranges.length >= 3);
  assert.match(fetched.ranges[1] ?? '', /^bytes=[1-9]\d+-$/);
});

test('a file that was replaced meanwhile is fetched anew, not joined', async () => {
  const other = randomBytes(bytes.length);
  const fetched = await fetchFrom((request, response, times) =>
    times === 1
      ? serve(other, '"old"', MiB)(request, response, times)
      : serve(bytes, '"new"')(request, response, times),
  );
  assertWhole(fetched);
});

test('a later call goes on where an earlier one was left, and only with the same URL', async () => {
  const path = join(directory, 'later');
  await using server = await imageServer(serve(bytes, '"one"', MiB));
  const url = new URL(server.url('/x'));
  const leaving = new AbortController();
  const options = { most: 16 * MiB, pauseMs: 60_000 };
  const left = await download(url, path, {
    ...options,
    signal: leaving.signal,
    onProgress: (done) => done >= MiB / 2 && setTimeout(() => leaving.abort(), 50),
  });
  assert.ok(!left.ok && left.kept > 0);
  server.answer = serve(bytes);
  const signal = new AbortController().signal;
  assert.deepEqual(await download(url, path, { ...options, signal }), { ok: true, bytes: bytes.length });
  assert.equal(server.ranges.at(-1), `bytes=${left.kept}-`);
  assert.ok(readFileSync(path).equals(bytes));
  assert.ok((await download(new URL(server.url('/y')), path, { ...options, signal })).ok);
  assert.equal(server.ranges.at(-1), '');
  await forgetDownload(path);
  assert.ok(!existsSync(path) && !existsSync(`${path}.json`));
});

test('a server that knows no ranges and breaks off each time is left', async () => {
  const fetched = await fetchFrom((_, response) => {
    response.writeHead(200, { ETag: '"one"', 'Content-Length': bytes.length });
    response.write(bytes.subarray(0, MiB), () => response.destroy());
  });
  assert.match(failure(fetched, { stays: true }), /begins anew each time/);
  assert.ok(fetched.ranges.length <= 6);
});

test('a server that ignores Range and sends all is taken at its word', async () => {
  assertWhole(
    await fetchFrom((_, response, times) => {
      response.writeHead(200, { ETag: '"one"', 'Content-Length': bytes.length });
      if (times === 1) response.write(bytes.subarray(0, MiB), () => response.destroy());
      else response.end(bytes);
    }),
  );
});

test('more or less than the length that was said is not taken', async () => {
  const short = await fetchFrom((_, response) => {
    response.writeHead(200, { 'Content-Length': bytes.length });
    response.write(bytes.subarray(0, 1000), () => response.destroy());
  });
  assert.match(failure(short), /broke off after .*, 5 times/);
  const chunked = await fetchFrom((request, response, times) => {
    const from = startOf(request, '"one"');
    if (from === undefined) return serve(bytes, '"one"', MiB)(request, response, times);
    response.writeHead(206, {
      ETag: '"one"',
      'Content-Range': `bytes ${from}-${bytes.length - 1}/${bytes.length}`,
    });
    response.end(Buffer.concat([bytes.subarray(from), Buffer.alloc(4 * MiB)]));
  });
  assert.match(failure(chunked, { stays: true }), /more than it said/);
  assert.ok(statSync(chunked.path).size <= bytes.length);
});

test('a part of another place is not joined', async () => {
  const fetched = await fetchFrom((request, response, times) => {
    const from = startOf(request, '"one"');
    if (times === 1 || from === undefined)
      return serve(bytes, '"one"', times === 1 ? MiB : bytes.length)(request, response, times);
    response.writeHead(206, { ETag: '"one"', 'Content-Range': `bytes 0-9/${bytes.length}` });
    response.end(bytes.subarray(0, 10));
  });
  assertWhole(fetched);
});

function flood(response: ServerResponse): void {
  const piece = Buffer.alloc(256 * 1024);
  const pour = (): void => {
    while (!response.destroyed && response.write(piece));
  };
  response.on('drain', pour);
  pour();
}

test('an answer without end is cut off, and one that is said to be too large is not begun', async () => {
  const endless = await fetchFrom(
    (_, response) => {
      response.writeHead(200);
      flood(response);
    },
    { most: 2 * MiB },
  );
  assert.match(failure(endless), /sends more than 2MiB/);
  assert.equal(endless.ranges.length, 1);
  const large = await fetchFrom(
    (_, response) => {
      response.writeHead(200, { 'Content-Length': 2 ** 50 });
      flood(response);
    },
    { most: 2 * MiB },
  );
  assert.match(failure(large), /1024TiB|1PiB/);
  const full = await fetchFrom(
    (_, response) => {
      response.writeHead(200, { 'Content-Length': 2 ** 50 });
      flood(response);
    },
    { most: 2 ** 51 },
  );
  assert.match(failure(full), /are free for/);
});

test('a server that is silent, or stops, is left', async () => {
  assert.match(failure(await fetchFrom(() => undefined)), /does not answer within 0\.5 s, 5 times/);
  const stopping = await fetchFrom((_, response) => {
    response.writeHead(200, { 'Content-Length': bytes.length });
    response.write(bytes.subarray(0, 10));
  });
  assert.match(failure(stopping), /sent nothing for 0\.5 s/);
});

test('redirections are followed, five at most, and to http and https alone', async () => {
  const away =
    (to: (path: string) => string): Answer =>
    (request, response, times) => {
      const path = request.url ?? '/';
      if (path === '/there') serve(bytes)(request, response, times);
      else response.writeHead(302, { Location: to(path) }).end();
    };
  assertWhole(
    await fetchFrom(
      away((path) => (path === '/three' ? '/there' : `${path}e`)),
      { at: '/thr' },
    ),
  );
  assert.match(failure(await fetchFrom(away(() => '/again'))), /sends on more than 5 times/);
  for (const place of ['file:///etc/shadow', 'https://user:word@example.org/', 'nonsense://x', '//['])
    assert.match(failure(await fetchFrom(away(() => place))), /a place that is not followed/, place);
});

test('what is refused is not asked for again, what is overloaded is', async () => {
  const missing = await fetchFrom((_, response) => response.writeHead(404).end());
  assert.match(failure(missing), /status 404/);
  assert.equal(missing.ranges.length, 1);
  assertWhole(
    await fetchFrom((request, response, times) =>
      times < 3 ? response.writeHead(503).end() : serve(bytes)(request, response, times),
    ),
  );
});

test('what is sent packed is not unpacked', async () => {
  const packed = await fetchFrom((_, response) => {
    response.writeHead(200, { 'Content-Encoding': 'gzip', 'Content-Length': 5 }).end('abcde');
  });
  assert.match(failure(packed), /packed/);
});

test('garbage in place of HTTP, and a head without end, end the attempt', async () => {
  const raw =
    (text: string): Answer =>
    (_, response) => {
      response.socket?.write(text);
      response.socket?.end();
    };
  assert.match(failure(await fetchFrom(raw('SSH-2.0-x\r\n'))), /5 times/);
  const heads = `HTTP/1.1 200 OK\r\n${'X-A: b\r\n'.repeat(100_000)}\r\n`;
  assert.match(failure(await fetchFrom(raw(heads))), /5 times/);
});
