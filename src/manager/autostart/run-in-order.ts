/** Works through an order: as much side by side as it allows, with a ceiling on starts. What starting is, is the caller's. */
import { afterHeld, afterUnready, ownReason, type Order, type Reason, type Step } from './order.ts';

export type StepState = 'starting' | 'started' | 'ready' | 'not-ready' | 'failed' | 'skipped';

/** Each ends soon after the signal fired, and gives what went wrong. None rejects. */
export interface StepWork {
  /** Before the start; how long is the caller's. */
  readonly delay: (name: string) => Promise<void>;
  /** Ends when the machine runs; counts against the ceiling. */
  readonly start: (name: string) => Promise<string | undefined>;
  /** Ends when the machine is ready; of what runs already without having been enabled, the only one. */
  readonly ready: (name: string) => Promise<string | undefined>;
  /** The last of each machine is ready, not-ready, failed or skipped. */
  readonly onState: (name: string, state: StepState, reason: Reason | null) => void;
}

export interface RunOptions {
  /** Most starts at a time. */
  readonly atOnce: number;
  /** Ends the run: what has not begun is skipped, with the signal's reason. */
  readonly signal: AbortSignal;
  readonly work: StepWork;
}

interface Verdict {
  readonly state: 'ready' | 'not-ready' | 'failed' | 'skipped';
  readonly reason: Reason | null;
}

/** Returns when nothing more happens by itself. */
export async function runInOrder({ steps, held }: Order, options: RunOptions): Promise<void> {
  const { work } = options;
  for (const [name, reason] of held) work.onState(name, 'skipped', reason);
  const slots = new Slots(options.atOnce);
  const verdicts = new Map(steps.map(({ name }) => [name, Promise.withResolvers<Verdict>()]));
  const verdictOf = (name: string): Promise<Verdict> =>
    verdicts.get(name)?.promise ?? Promise.resolve({ state: 'ready', reason: null });
  await Promise.all(
    steps.map(async (step) => {
      const verdict = await runStep(step, { ...options, slots, verdictOf });
      if (step.enabled) work.onState(step.name, verdict.state, verdict.reason);
      verdicts.get(step.name)?.resolve(verdict);
    }),
  );
}

interface StepOptions extends RunOptions {
  readonly slots: Slots;
  readonly verdictOf: (name: string) => Promise<Verdict>;
}

async function runStep({ name, after, enabled }: Step, options: StepOptions): Promise<Verdict> {
  const { work, signal, slots } = options;
  if (enabled) {
    const unready = await firstUnready(after, options);
    if (unready !== undefined) return { state: 'skipped', reason: unready };
    await work.delay(name);
    const failed = await slots.use(async () => {
      if (signal.aborted) return ended(signal);
      work.onState(name, 'starting', null);
      const fault = await work.start(name);
      return fault === undefined ? undefined : { state: 'failed' as const, reason: ownReason(fault) };
    });
    if (failed !== undefined) return failed;
    work.onState(name, 'started', null);
  }
  const unready = await work.ready(name);
  if (unready !== undefined) return { state: 'not-ready', reason: ownReason(unready) };
  return { state: 'ready', reason: null };
}

function ended(signal: AbortSignal): Verdict {
  const { reason } = signal;
  return { state: 'skipped', reason: ownReason(reason instanceof Error ? reason.message : String(reason)) };
}

/** Why the machine does not start, as soon as that is known; undefined once all before it are ready. */
function firstUnready(after: readonly string[], { verdictOf }: StepOptions): Promise<Reason | undefined> {
  const { promise, resolve } = Promise.withResolvers<Reason | undefined>();
  const look = async (dependency: string): Promise<void> => {
    const { state, reason } = await verdictOf(dependency);
    if (reason !== null) resolve(reasonAfter(dependency, state, reason));
  };
  void Promise.all(after.map(look)).then(() => resolve(undefined));
  return promise;
}

function reasonAfter(dependency: string, state: Verdict['state'], reason: Reason): Reason {
  if (state === 'skipped') return afterHeld(dependency, reason);
  return afterUnready(dependency, state === 'failed' ? 'failed to start' : 'is not ready', reason);
}

/** So many at a time; the others wait in the order in which they came. */
class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async use<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}
