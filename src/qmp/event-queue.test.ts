import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CountedEvent, EventQueue } from './event-queue.ts';
import type { QmpEvent } from './events.ts';

const other = (event: string): QmpEvent => ({ name: 'other', event });

async function drain(queue: EventQueue): Promise<readonly CountedEvent[]> {
  queue.close();
  return readAll(queue);
}

async function readAll(queue: EventQueue): Promise<readonly CountedEvent[]> {
  const seen: CountedEvent[] = [];
  for await (const event of queue) seen.push(event);
  return seen;
}

test('events come in order, also to a reader that was there first', async () => {
  const queue = new EventQueue();
  const reading = readAll(queue);
  queue.push({ name: 'STOP' });
  await Promise.resolve();
  queue.push({ name: 'RESUME' });
  queue.close();
  assert.deepEqual(
    (await reading).map(({ event }) => event.name),
    ['STOP', 'RESUME'],
  );
});

test('equal events are counted at the place of the newest', async () => {
  const queue = new EventQueue();
  for (const name of ['STOP', 'RESUME', 'STOP', 'RESUME', 'STOP'] as const) queue.push({ name });
  assert.deepEqual(await drain(queue), [
    { event: { name: 'RESUME' }, count: 2 },
    { event: { name: 'STOP' }, count: 3 },
  ]);
});

test('failures of different drives are told apart', async () => {
  const failure = (device: string): QmpEvent => ({
    name: 'BLOCK_IO_ERROR',
    device,
    nodeName: null,
    operation: 'write',
    action: 'stop',
    noSpace: true,
    reason: 'No space left on device',
  });
  const queue = new EventQueue();
  for (const device of ['a', 'b', 'a']) queue.push(failure(device));
  const seen = await drain(queue);
  assert.deepEqual(
    seen.map(({ event, count }) => [event.name === 'BLOCK_IO_ERROR' && event.device, count]),
    [
      ['b', 1],
      ['a', 2],
    ],
  );
});

test('a flood of unknown events is dropped and counted, and pushes out none that matters', async () => {
  const queue = new EventQueue(8);
  queue.push({ name: 'SHUTDOWN', guest: true, reason: 'guest-shutdown' });
  for (let made = 0; made < 1000; made += 1) queue.push(other(`X${made}`));
  assert.equal(queue.dropped, 993);
  const seen = await drain(queue);
  assert.equal(seen.length, 8);
  assert.equal(seen[0]?.event.name, 'SHUTDOWN');
  assert.deepEqual(seen.at(-1)?.event, other('X999'));
});

test('a second reader is a mistake', async () => {
  const queue = new EventQueue();
  await drain(queue);
  await assert.rejects(readAll(queue), /one reader/);
});
