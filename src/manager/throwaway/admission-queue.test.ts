import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Outcome } from '../outcome.ts';
import { AdmissionQueue, type Place, type Ticket } from './admission-queue.ts';

const GiB = 1024 ** 3;

function hostOf(available: number): { available: number; queue: AdmissionQueue } {
  const host = { available };
  const queue = new AdmissionQueue({
    total: () => 100 * GiB,
    available: () => host.available,
    used: () => 0,
  });
  return Object.assign(host, { queue });
}

const ticket = (more: Partial<Ticket> = {}): Ticket => ({
  uid: 1,
  memory: GiB,
  quota: () => Promise.resolve([]),
  onAdmitted: () => undefined,
  signal: new AbortController().signal,
  onPlace: () => undefined,
  ...more,
});

const placeOf = (outcome: Outcome<Place>): Place => {
  assert.ok(outcome.ok);
  outcome.value.up();
  return outcome.value;
};

test('as many are let in as there is memory for, the others in the order in which they came', async () => {
  const { queue } = hostOf(2.6 * GiB);
  const order: number[] = [];
  const waits = [1, 2, 3, 4].map(async (number) => {
    const place = placeOf(await queue.wait(ticket()));
    order.push(number);
    return place;
  });
  const [first, second] = [await waits[0], await waits[1]];
  await delay(20);
  assert.deepEqual(order, [1, 2]);
  second?.[Symbol.dispose]();
  (await waits[2])?.[Symbol.dispose]();
  await waits[3];
  assert.deepEqual(order, [1, 2, 3, 4]);
  assert.ok(first !== undefined && queue.any);
});

test('a small one does not pass a large one that waits for memory', async () => {
  const { queue } = hostOf(2.6 * GiB);
  const held = placeOf(await queue.wait(ticket()));
  let small = false;
  const large = queue.wait(ticket({ memory: 2 * GiB }));
  const later = queue.wait(ticket({ memory: GiB / 4 })).then((outcome) => {
    small = true;
    return outcome;
  });
  await delay(20);
  assert.equal(small, false);
  held[Symbol.dispose]();
  placeOf(await large)[Symbol.dispose]();
  placeOf(await later);
});

test('one for which there is not even the memory of all is refused, and waits for nobody', async () => {
  const { queue } = hostOf(GiB);
  const outcome = await queue.wait(ticket({ memory: 4 * GiB }));
  assert.match(outcome.ok ? '' : (outcome.faults[0]?.message ?? ''), /no 4192 MiB of memory left/);
  assert.equal(queue.any, false);
});

test('whose quota is used up waits for the own machines to end, and others pass', async () => {
  const { queue } = hostOf(100 * GiB);
  const over = { code: 'policy-refused', message: 'quota', hint: 'less', rule: 'quotas[0]' };
  let used = 0;
  const mine = ticket({
    quota: () => Promise.resolve(used > 0 ? [over] : []),
    onAdmitted: () => (used += 1),
  });
  const first = placeOf(await queue.wait(mine));
  const second = queue.wait(mine);
  placeOf(await queue.wait(ticket({ uid: 2 })));
  used = 0;
  first[Symbol.dispose]();
  placeOf(await second);
  const lone = await queue.wait(ticket({ uid: 3, quota: () => Promise.resolve([over]) }));
  assert.deepEqual(lone, { ok: false, faults: [over] });
});

test('who goes away waits no more, and a place is told to those behind', async () => {
  const { queue } = hostOf(1.4 * GiB);
  const held = placeOf(await queue.wait(ticket()));
  const leaving = new AbortController();
  const places: number[] = [];
  const second = queue.wait(ticket({ signal: leaving.signal }));
  const third = queue.wait(ticket({ onPlace: (before) => places.push(before) }));
  await delay(20);
  leaving.abort();
  assert.equal((await second).ok, false);
  await delay(300);
  assert.deepEqual(places, [1, 0]);
  held[Symbol.dispose]();
  placeOf(await third);
});

test('one user cannot fill the queue for all', async () => {
  const { queue } = hostOf(1.4 * GiB);
  placeOf(await queue.wait(ticket()));
  const leaving = new AbortController();
  for (let times = 0; times < 256; times += 1) void queue.wait(ticket({ signal: leaving.signal }));
  assert.match(JSON.stringify(await queue.wait(ticket())), /256 of them yours/);
  void queue.wait(ticket({ uid: 2, signal: leaving.signal }));
  leaving.abort();
});

test('who goes away while the quota is looked at leaves no place behind', async () => {
  const { queue } = hostOf(100 * GiB);
  for (let times = 0; times < 64; times += 1) {
    const leaving = new AbortController();
    const gone = queue.wait(
      ticket({
        signal: leaving.signal,
        quota: async () => {
          leaving.abort();
          return await Promise.resolve([]);
        },
        onAdmitted: () => assert.fail('nobody is there'),
      }),
    );
    assert.equal((await gone).ok, false);
  }
  assert.equal(queue.any, false);
  placeOf(await queue.wait(ticket({ uid: 2 })));
});
