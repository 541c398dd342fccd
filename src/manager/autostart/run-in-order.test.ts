/** Every run ends, nobody starts before what it comes after is ready, and the ceiling holds: for any graph and any outcome. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { orderOf, type Reason, type Wish } from './order.ts';
import { runInOrder, type StepState } from './run-in-order.ts';

interface Plan {
  /** Of each machine, by its index, the indices of those that it comes after; may be cycles, or itself. */
  readonly after: readonly (readonly number[])[];
  readonly ends: readonly ('ready' | 'not-ready' | 'failed')[];
  /** Turns of the event loop that a delay, a start and getting ready take. */
  readonly turns: readonly number[];
  readonly enabled: readonly boolean[];
  readonly running: readonly boolean[];
  readonly atOnce: number;
  /** After so many turns the host goes down. */
  readonly abortAfter: number | undefined;
}

const size = 12;
const each = <Value>(value: fc.Arbitrary<Value>): fc.Arbitrary<Value[]> =>
  fc.array(value, { minLength: size, maxLength: size });
const plans: fc.Arbitrary<Plan> = fc.record({
  after: each(fc.array(fc.nat({ max: size }), { maxLength: 3 })),
  ends: each(
    fc.oneof(
      { weight: 6, arbitrary: fc.constant('ready' as const) },
      { weight: 1, arbitrary: fc.constantFrom('not-ready' as const, 'failed' as const) },
    ),
  ),
  turns: each(fc.nat({ max: 3 })),
  enabled: each(
    fc.oneof({ weight: 5, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
  ),
  running: each(fc.boolean()),
  atOnce: fc.integer({ min: 1, max: 4 }),
  abortAfter: fc.option(fc.nat({ max: 20 }), { nil: undefined, freq: 3 }),
});
const nameOf = (index: number): string => `m${index}`;

interface Seen {
  readonly wishes: readonly Wish[];
  readonly states: ReadonlyMap<string, readonly StepState[]>;
  readonly reasons: ReadonlyMap<string, Reason | null>;
  /** Of each start, what had become ready before. */
  readonly readyBefore: ReadonlyMap<string, ReadonlySet<string>>;
  readonly most: number;
}

async function follow(plan: Plan): Promise<Seen> {
  const indices = Array.from({ length: size }, (_, index) => index);
  const named = (flags: readonly boolean[]) => indices.filter((index) => flags[index] === true).map(nameOf);
  const wishes = indices
    .filter((index) => plan.enabled[index] === true)
    .map((index) => ({ name: nameOf(index), after: (plan.after[index] ?? []).map(nameOf) }));
  const world = { defined: new Set(indices.map(nameOf)), running: new Set(named(plan.running)) };
  const going = new AbortController();
  const states = new Map<string, StepState[]>();
  const reasons = new Map<string, Reason | null>();
  const ready = new Set<string>();
  const readyBefore = new Map<string, ReadonlySet<string>>();
  let underWay = 0;
  let most = 0;
  const index = (name: string): number => Number(name.slice(1));
  const take = async (name: string): Promise<void> => {
    for (let left = plan.turns[index(name)] ?? 0; left > 0 && !going.signal.aborted; left -= 1) await turn();
  };
  const { abortAfter } = plan;
  const run = runInOrder(orderOf(wishes, world), {
    atOnce: plan.atOnce,
    signal: going.signal,
    work: {
      delay: take,
      start: async (name) => {
        underWay += 1;
        most = Math.max(most, underWay);
        readyBefore.set(name, new Set(ready));
        await take(name);
        underWay -= 1;
        return plan.ends[index(name)] === 'failed' ? 'it broke' : undefined;
      },
      ready: async (name) => {
        await take(name);
        if (going.signal.aborted) return 'the host went down';
        if (plan.ends[index(name)] !== 'ready') return 'it was silent';
        ready.add(name);
        return undefined;
      },
      onState: (name, state, reason) => {
        states.set(name, [...(states.get(name) ?? []), state]);
        reasons.set(name, reason);
      },
    },
  });
  const over = new AbortController();
  void run.finally(() => over.abort());
  for (let turns = 0; !over.signal.aborted; turns += 1) {
    assert.ok(turns < 5000, 'the run does not end');
    if (turns === abortAfter) going.abort(new Error('the host goes down'));
    await turn();
  }
  await run;
  return { wishes, states, reasons, readyBefore, most };
}

test('whatever the graph and whatever fails, a run ends, in order and below its ceiling', async () => {
  await fc.assert(
    fc.asyncProperty(plans, async (plan) => {
      const { wishes, states, reasons, readyBefore, most } = await follow(plan);
      assert.ok(most <= plan.atOnce, `${most} starts at once`);
      for (const { name, after } of wishes) {
        const seen = states.get(name) ?? [];
        const last = seen.at(-1) ?? 'none';
        assert.ok(['ready', 'not-ready', 'failed', 'skipped'].includes(last), `${name} ended as ${last}`);
        assert.equal(
          reasons.get(name) === null,
          last === 'ready',
          `${name}: a reason if and only if not ready`,
        );
        assert.equal(seen.filter((state) => state === 'starting').length, readyBefore.has(name) ? 1 : 0);
        const before = readyBefore.get(name);
        if (before !== undefined)
          for (const other of after)
            assert.ok(before.has(other), `${name} started before ${other} was ready`);
        // Nobody waits in vain: where all before it are ready, it is started.
        const allReady = after.every((other) => states.get(other)?.at(-1) === 'ready');
        if (allReady && plan.abortAfter === undefined) assert.notEqual(last, 'skipped');
      }
    }),
    { numRuns: 1000 },
  );
});

test('one that fails holds up those alone that come after it, and they say why at once', async () => {
  const stuck = Promise.withResolvers<undefined>();
  const told: string[] = [];
  const skipped = Promise.withResolvers<void>();
  const order = orderOf(
    [
      { name: 'db', after: [] },
      { name: 'slow', after: [] },
      { name: 'web', after: ['slow', 'db'] },
      { name: 'proxy', after: ['web'] },
    ],
    { defined: new Set(), running: new Set() },
  );
  const run = runInOrder(order, {
    atOnce: 4,
    signal: new AbortController().signal,
    work: {
      delay: () => Promise.resolve(),
      start: (name) =>
        name === 'slow' ? stuck.promise : Promise.resolve(name === 'db' ? 'no image' : undefined),
      ready: () => Promise.resolve(undefined),
      onState: (name, state, reason) => {
        if (reason !== null) told.push(`${name} ${state}: ${reason.text}`);
        if (name === 'proxy') skipped.resolve();
      },
    },
  });
  await skipped.promise;
  assert.deepEqual(told, [
    'db failed: no image',
    'web skipped: it comes after db, which failed to start: no image',
    'proxy skipped: it comes after web, which was not started either: it comes after db, which failed to start: no image',
  ]);
  stuck.resolve(undefined);
  await run;
});
