/** Timing of programs and calls, and what a series of numbers says. */
import { spawn } from 'node:child_process';

export interface Series {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly count: number;
}

/** Throws for an empty series. */
export function summarise(values: readonly number[]): Series {
  const sorted = values.toSorted((a, b) => a - b);
  const low = sorted[Math.floor((sorted.length - 1) / 2)];
  const high = sorted[Math.ceil((sorted.length - 1) / 2)];
  const [min, max] = [sorted[0], sorted.at(-1)];
  if (low === undefined || high === undefined || min === undefined || max === undefined)
    throw new RangeError('no values to summarise');
  return { median: (low + high) / 2, min, max, count: sorted.length };
}

/** Milliseconds that `work` took. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/** Runs a program to its end. Throws with its words where it fails or takes longer than a minute. */
export function command(argv: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const [program = '', ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
    const pieces: Buffer[] = [];
    child.stdout.on('data', (piece: Buffer) => pieces.push(piece));
    child.stderr.on('data', (piece: Buffer) => pieces.push(piece));
    const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
    child.once('error', reject);
    child.once('close', (status, signal) => {
      clearTimeout(timer);
      const output = Buffer.concat(pieces).toString('utf8');
      if (status === 0) resolve(output);
      else reject(new Error(`${argv.join(' ')}: ${signal ?? `status ${status}`}: ${output.trim()}`));
    });
  });
}
