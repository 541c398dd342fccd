/** Probes one after the other in one process for as long as it lives: what it is to do, and what it wrote. */
import { call } from './calls.ts';
import { throughMark } from './probe.ts';
import { compileQemuDenials } from './qemu-denials.ts';
import { compileScript, markBytes, resultOffset, stepBytes, type Step } from './script.ts';

/** What became of one part: the result of each step, or the end of the process, or another program in its place. */
export type PartOutcome =
  | { readonly kind: 'results'; readonly results: readonly number[] }
  | { readonly kind: 'ended' }
  | { readonly kind: 'replaced' };

const setFilter = 1;

/** What the prober does before the first probe of a jail: from here on it has the denials that QEMU gives itself. */
export function loadQemuDenials(): readonly Step[] {
  const filter = compileQemuDenials();
  // struct sock_fprog: the number of instructions, and where they are.
  return [call('seccomp', setFilter, 0, { words: [filter.length / 8, { bytes: filter }] })];
}

/** Arguments with which the prober says that it runs. */
export function announce(): string[] {
  return compileScript([[call('write', 1, { bytes: Buffer.from(throughMark) }, throughMark.length)]]);
}

/** What the prober wrote, as far as it came. The last part may be one that ended it. */
export function readOutput(output: Buffer, parts: readonly (readonly Step[])[]): PartOutcome[] {
  const outcomes: PartOutcome[] = [];
  let at = linesBefore(output);
  for (const [index, steps] of parts.entries()) {
    if (output.length < at + markBytes || Number(output.readBigInt64LE(at)) !== index) break;
    at += markBytes;
    const records = output.subarray(at, at + steps.length * stepBytes);
    if (records.length < steps.length * stepBytes) {
      outcomes.push({ kind: records.includes(throughMark) ? 'replaced' : 'ended' });
      break;
    }
    outcomes.push({
      kind: 'results',
      results: steps.map((_, step) => Number(records.readBigInt64LE(step * stepBytes + resultOffset))),
    });
    at += records.length;
  }
  return outcomes;
}

/**
 * What the runtime and its helpers said before the prober began, lines of text: newuidmap(1) of a user without further uids does. The prober
 * begins with a zero.
 */
const linesBefore = (output: Buffer): number =>
  /^(?:[\t\u0020-\u007e]*\n)*/.exec(output.toString('latin1'))?.[0].length ?? 0;

/** How one process ended. */
export interface Sitting {
  readonly output: Buffer;
  /** Its cgroup's limit of memory killed something. */
  readonly memoryLimit: boolean;
}

export type SittingRunner<Failure> = (
  argv: readonly string[],
) => Promise<{ readonly ok: true; readonly value: Sitting } | Failure>;

export interface PartResult {
  readonly outcome: PartOutcome;
  readonly memoryLimit: boolean;
}

/**
 * Does every part, in as many processes as it takes: after one that ends its process the next begins with the part behind it.
 * `head` is done first in each and must succeed; undefined where it did not, or where a process wrote nothing.
 */
export async function doParts<Failure extends { readonly ok: false }>(
  parts: readonly (readonly Step[])[],
  head: readonly Step[],
  run: SittingRunner<Failure>,
): Promise<{ readonly ok: true; readonly value: readonly PartResult[] | undefined } | Failure> {
  const done: PartResult[] = [];
  while (done.length < parts.length) {
    const rest = [head, ...parts.slice(done.length)];
    const sitting = await run(compileScript(rest));
    if (!sitting.ok) return sitting;
    const { output, memoryLimit } = sitting.value;
    const [first, ...outcomes] = readOutput(output, rest);
    if (first?.kind !== 'results' || first.results.some((result) => result < 0) || outcomes.length === 0)
      return { ok: true, value: undefined };
    done.push(...outcomes.map((outcome) => ({ outcome, memoryLimit })));
  }
  return { ok: true, value: done };
}
