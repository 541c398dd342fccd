/** Bytes on the claims' socket, sent by a process of another user: what the broker makes of them is by that process's uid. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { ClaimRequest } from '../../src/protocol/claims.ts';
import type { Refusal } from '../../src/protocol/broker.ts';
import { encodeFrame } from '../../src/protocol/frame.ts';
import { asUser } from './as-user.ts';
import { run } from './instance.ts';

/** Asks one after the other, and prints what came before the end of each connection; null for nothing. */
const asker = `
  const { connect } = require('node:net');
  const { path, pieces } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
  const ask = (bytes) => new Promise((resolve) => {
    const got = [];
    const socket = connect(path);
    socket.on('error', () => undefined).on('data', (piece) => got.push(piece));
    socket.on('close', () => resolve(got.length === 0 ? null : Buffer.concat(got).subarray(4).toString('utf8')));
    // In pieces, with a turn of the event loop between: the other side sees them one by one.
    const next = (index) => {
      if (index < bytes.length) socket.write(Buffer.from(bytes[index], 'base64'), () => setImmediate(next, index + 1));
    };
    next(0);
  });
  (async () => {
    const answers = [];
    for (const bytes of pieces) answers.push(await ask(bytes));
    process.stdout.write(JSON.stringify(answers));
  })();`;

/** Holds connections without a word, opened again as they are closed, and claims and takes back without end beside them. */
const flooder = `
  const { connect } = require('node:net');
  const [path, silent, ...frames] = process.argv.slice(1);
  const hold = () => connect(path).on('error', () => undefined).on('close', () => setTimeout(hold, 5));
  for (let count = Number(silent); count > 0; count -= 1) hold();
  const ask = (index) => connect(path).on('error', () => undefined).on('close', () => setTimeout(ask, 0, index + 1))
    .on('data', () => undefined).write(Buffer.from(frames[index % frames.length], 'base64'));
  for (let beside = 0; beside < 16 && frames.length > 0; beside += 1) ask(beside);
  setTimeout(() => process.stdout.write('floods'), 300);`;

export type Answer =
  | { readonly ok: true; readonly result: never }
  | { readonly ok: false; readonly refusals: readonly Refusal[] };

/** The answers, each null where the connection was ended without one. `requests` are pieces of bytes. */
export async function sendAs(
  path: string,
  uid: number,
  requests: readonly (readonly Uint8Array[])[],
): Promise<readonly (Answer | null)[]> {
  const pieces = requests.map((bytes) => bytes.map((piece) => Buffer.from(piece).toString('base64')));
  const outcome = await run(
    [...asUser({ uid }), process.execPath, '-e', asker],
    {},
    {
      stdin: JSON.stringify({ path, pieces }),
    },
  );
  if (outcome.status !== 0) throw new Error(outcome.stderr);
  const answers = JSON.parse(outcome.stdout) as (string | null)[];
  return answers.map((answer) => (answer === null ? null : (JSON.parse(answer) as Answer)));
}

/** One well-formed request. */
export async function askAs(path: string, uid: number, request: ClaimRequest): Promise<Answer> {
  const [answer] = await sendAs(path, uid, [[encodeFrame(request)]]);
  if (answer === null || answer === undefined)
    throw new Error('the broker closed the connection without an answer');
  return answer;
}

export async function floodAs(
  path: string,
  uid: number,
  { silent, requests }: { readonly silent: number; readonly requests: readonly ClaimRequest[] },
): Promise<AsyncDisposable & { readonly goesOn: () => boolean }> {
  const frames = requests.map((request) => encodeFrame(request).toString('base64'));
  const argv = [
    ...asUser({ uid }).slice(1),
    process.execPath,
    '-e',
    flooder,
    path,
    String(silent),
    ...frames,
  ];
  const child = spawn('/usr/bin/setpriv', argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  return {
    goesOn: () => child.exitCode === null,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
