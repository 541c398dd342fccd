import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decideRestart, restartsWithin, type EndCause, type RestartRules } from './restart-policy.ts';

const rules = (changes: Partial<RestartRules> = {}): RestartRules => ({
  onCrash: 'restart',
  onPowerOff: 'stop',
  restart: { delay: 1000, maxDelay: 60_000, attempts: 5, within: 600_000 },
  ...changes,
});

test('a crash is answered by a restart after a wait that doubles up to its longest, and then given up', () => {
  const now = 1_000_000_000;
  const restart = { delay: 1000, maxDelay: 5000, attempts: 5, within: 600_000 };
  const waits = [0, 1, 2, 3, 4, 5].map((count) => {
    const restarts = Array.from({ length: count }, (_, index) => now - index);
    const decision = decideRestart('crash', rules({ restart }), { restarts, now });
    return decision.kind === 'restart'
      ? `${decision.afterMs} ${decision.attempt}/${decision.of}`
      : decision.kind;
  });
  assert.deepEqual(waits, ['1000 1/5', '2000 2/5', '4000 3/5', '5000 4/5', '5000 5/5', 'give-up']);
});

test('each end has its own key, and what a user or the host did has none', () => {
  const kinds = (changes: Partial<RestartRules>): string[] =>
    (['crash', 'power-off', 'other'] as const).map(
      (cause) => decideRestart(cause, rules(changes), { restarts: [], now: 0 }).kind,
    );
  assert.deepEqual(kinds({}), ['restart', 'none', 'none']);
  assert.deepEqual(kinds({ onCrash: 'pause', onPowerOff: 'restart' }), ['none', 'restart', 'none']);
  assert.deepEqual(kinds({ onCrash: 'stop' }), ['none', 'none', 'none']);
});

const duration = fc.integer({ min: 0, max: 100_000_000 });
const anyRules = fc
  .record({
    onCrash: fc.constantFrom('stop', 'restart', 'pause'),
    onPowerOff: fc.constantFrom('stop', 'restart'),
    restart: fc.record({
      delay: duration,
      maxDelay: duration,
      attempts: fc.integer({ min: 1, max: 1000 }),
      within: duration,
    }),
  })
  .map((all) => ({
    ...all,
    restart: { ...all.restart, maxDelay: Math.max(all.restart.delay, all.restart.maxDelay) },
  })) as fc.Arbitrary<RestartRules>;
const causes = fc.constantFrom<EndCause>('crash', 'power-off', 'other');

test('no wait is shorter than the first or longer than the longest, and no attempt beyond the last', () => {
  fc.assert(
    fc.property(
      causes,
      anyRules,
      fc.array(duration, { maxLength: 1200 }),
      duration,
      (cause, all, restarts, now) => {
        const decision = decideRestart(cause, all, { restarts, now });
        if (cause === 'other') assert.equal(decision.kind, 'none');
        if (decision.kind !== 'restart') return;
        assert.ok(decision.afterMs >= all.restart.delay && decision.afterMs <= all.restart.maxDelay);
        assert.ok(decision.attempt >= 1 && decision.attempt <= decision.of);
      },
    ),
  );
});

test('whatever a machine does, and however the clock is set, no `within` sees more restarts than `attempts`', () => {
  const lives = fc.array(fc.record({ livedMs: fc.integer({ min: 0, max: 5000 }), cause: causes }), {
    maxLength: 60,
  });
  const short = fc.record({
    delay: fc.integer({ min: 0, max: 100 }),
    maxDelay: fc.integer({ min: 100, max: 2000 }),
    attempts: fc.integer({ min: 1, max: 6 }),
    within: fc.integer({ min: 1, max: 20_000 }),
  });
  fc.assert(
    fc.property(lives, short, (ends, restart) => {
      let now = 0;
      const restarts: number[] = [];
      for (const { livedMs, cause } of ends) {
        now += livedMs;
        const all: RestartRules = { onCrash: 'restart', onPowerOff: 'restart', restart };
        const decision = decideRestart(cause, all, { restarts, now });
        if (decision.kind === 'restart') restarts.push((now += decision.afterMs));
      }
      for (const at of restarts) {
        const inside = restarts.filter((other) => other > at - restart.within && other <= at).length;
        assert.ok(inside <= restart.attempts, `${inside} of ${restart.attempts}`);
      }
    }),
  );
});

test('a clock that was set back does not make room for further restarts', () => {
  fc.assert(
    fc.property(
      fc.array(duration),
      duration,
      fc.integer({ min: 1, max: 100_000 }),
      (restarts, now, within) => {
        const counted = restartsWithin(restarts, within, now);
        assert.ok(restarts.filter((at) => at >= now).length <= counted.length);
        for (const at of counted) assert.ok(at <= now);
      },
    ),
  );
});
