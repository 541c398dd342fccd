/**
 * Machines that are saved with their memory and go on where they were, with a real guest that counts on its disk; and what is
 * left when QEMU, the manager or the broker dies at any moment of that.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { consoleShows, defineDemo, done, refused, remains, statusOf } from '../support/driver.ts';
import { startInstance } from '../support/instance.ts';
import { killProcess } from '../support/small-machine.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());
const saved = `${instance.paths.managerState}/saved`;
const image = instance.disk('web');

/** Numbers that the guest has said to be on its disk, in their order. */
async function counted(): Promise<number[]> {
  const text = await done(instance, 'console web --log');
  return [...text.matchAll(/synced (\d+)/g)].map(([, number]) => Number(number));
}

/** The guest counts on from where it was, without a number said twice; nor left out, where a manager listened all the time. */
async function countsOn(from: number, { heard = true } = {}): Promise<void> {
  const beyond = new RegExp(`synced (?:${from + 3}|\\d{${String(from).length + 1},})\\b`);
  if (heard) await consoleShows(instance, 'web', beyond);
  for (let times = 0; (await latest()) <= from; times += 1) {
    assert.ok(times < 100, `it does not count on from ${from}`);
    await delay(200);
  }
  const numbers = await counted();
  const boot = numbers.slice(numbers.lastIndexOf(1));
  const steps = boot.slice(1).map((number, index) => number - (boot[index] ?? 0));
  assert.ok(
    steps.every((step) => (heard ? step === 1 : step > 0)),
    boot.join(),
  );
}

const latest = async (): Promise<number> => (await counted()).at(-1) ?? 0;

const stateOf = async (): Promise<string> => (await statusOf(instance, 'web')).state;

/** Until it is in one of these. */
async function reach(...states: readonly string[]): Promise<string> {
  const giveUpAt = performance.now() + 60_000;
  for (;;) {
    const state = await stateOf().catch(() => 'not told');
    if (states.includes(state)) return state;
    assert.ok(performance.now() < giveUpAt, `it is ${state}, and not ${states.join(' or ')}`);
    await delay(50);
  }
}

before(async () => {
  await defineDemo(instance, { name: 'web', disk: image, switches: 'qward.synced', memory: '96MiB' });
  await done(instance, 'start web');
  await consoleShows(instance, 'web', /synced 5\b/);
});

test('a guest that counts on its disk is saved, and counts on when it is brought back, with every wall up', async () => {
  await done(instance, 'audit web');
  assert.equal(await done(instance, 'save web'), 'web: saved');
  const status = await statusOf(instance, 'web');
  assert.deepEqual([status.state, status.pid, status.lastEnd?.how], ['saved', null, 'saved']);
  assert.ok((status.saved?.bytes ?? 0) > 0);
  assert.deepEqual(remains(instance, 'web'), []);
  assert.equal((await instance.qward(['status', 'web'])).status, 10);
  assert.equal(await done(instance, 'save web'), 'web: already saved');
  assert.equal(await done(instance, 'stop web'), 'web: already stopped');
  await done(instance, 'drill web');
  assert.equal(await stateOf(), 'saved');
  const from = await latest();
  assert.equal(await done(instance, 'restore web'), 'web: restored');
  await done(instance, 'audit web');
  assert.deepEqual(readdirSync(saved), []);
  await countsOn(from);
  assert.match(await refused(instance, 'save nobody', { status: 3 }), /no machine/);
});

test('a paused guest stays paused, and what is done meanwhile to definition and manager changes nothing', async () => {
  await done(instance, 'pause web');
  await done(instance, 'save web');
  await done(instance, 'set web memory=128MiB description=larger');
  await instance.qward(['host', 'down', ...instance.hostFlags]);
  await instance.up();
  assert.equal(await stateOf(), 'saved');
  for (const words of ['rm web', 'rename web other'])
    assert.match(await refused(instance, words), /its memory is saved, and would be lost/);
  const from = await latest();
  assert.equal(await done(instance, 'start web'), 'web: restored, and paused');
  assert.equal((await statusOf(instance, 'web')).changed, true);
  await done(instance, 'resume web');
  await countsOn(from);
  await done(instance, 'set web memory=96MiB');
});

test('a disk that was written to, a damaged file and a missing state are refused; the disk and the state stay', async () => {
  await done(instance, 'save web');
  const note = JSON.parse(readFileSync(`${saved}/web/state.json`, 'utf8')) as {
    readonly memory: { readonly file: string };
  };
  const copy = `${instance.directory}/copy.qcow2`;
  const cp = (from: string, to: string): unknown => execFileSync('/bin/cp', ['-p', from, to]);
  cp(image, copy);
  const content = readFileSync(image);
  appendFileSync(image, Buffer.alloc(512));
  assert.match(await refused(instance, 'start web'), /DIR\/web.qcow2 has \d+ bytes instead of \d+/);
  writeFileSync(image, content);
  assert.match(await refused(instance, 'start web'), /DIR\/web.qcow2 was written to at/);
  // The disk as it was, and with the time that it had.
  cp(copy, image);
  const memory = `${saved}/web/${note.memory.file}`;
  const bytes = readFileSync(memory);
  const harmed = Buffer.from(bytes);
  harmed.writeUInt8(harmed.readUInt8(bytes.length - 9) ^ 1, bytes.length - 9);
  writeFileSync(memory, harmed);
  assert.match(await refused(instance, 'start web'), /cannot be resumed: .*damaged.* it is kept/);
  assert.equal(await stateOf(), 'saved');
  writeFileSync(memory, bytes.subarray(0, bytes.length / 2));
  assert.match(await refused(instance, 'start web'), /cannot be resumed/);
  assert.ok(readFileSync(image).equals(content), 'the disk is as it was');
  assert.match(await refused(instance, `disk resize ${image} 128MiB`), /whose memory is saved/);
  writeFileSync(memory, bytes);
  assert.equal(await done(instance, 'start web'), 'web: restored');
  await done(instance, 'save web');
  assert.equal(await done(instance, 'discard-state web'), 'web: discarded the saved state');
  assert.equal(await stateOf(), 'stopped');
  assert.match(await refused(instance, 'restore web'), /has no saved state/);
  assert.deepEqual(readdirSync(saved), []);
  await done(instance, 'start web');
  await consoleShows(instance, 'web', /synced 3\b[\s\S]*synced 3\b/);
});

/** What may be there whoever died: a guest that counts on, or a whole state, or neither; never both. */
async function holds(): Promise<string> {
  const state = await reach('running', 'saved', 'crashed', 'stopped', 'failed');
  const kept = readdirSync(saved).some((name) => readdirSync(`${saved}/${name}`).includes('state.json'));
  assert.equal(kept, state === 'saved', `it is ${state}`);
  const from = await latest();
  if (state !== 'running') await done(instance, 'start web');
  if (state === 'running' || state === 'saved') await countsOn(from, { heard: false });
  else await consoleShows(instance, 'web', /synced 2\b/);
  return state;
}

for (const victim of ['QEMU', 'manager', 'broker'] as const)
  test(`${victim} is killed at many moments of save and restore`, async () => {
    const states = new Set<string>();
    for (const afterMs of [0, 40, 120, 250, 400, 600]) {
      if ((await stateOf()) !== 'running') await done(instance, 'start web');
      const work = (async (): Promise<void> => {
        await instance.qward(['save', 'web']);
        await instance.qward(['start', 'web']);
      })();
      await delay(afterMs);
      const { pid } = await statusOf(instance, 'web').catch(() => ({ pid: null }));
      const target = victim === 'QEMU' ? pid : instance.daemon(victim === 'broker' ? 'broker' : 'manager');
      if (target !== null) await killProcess(target).catch(() => undefined);
      await work;
      if (victim !== 'QEMU') await instance.up();
      states.add(await holds());
    }
    assert.ok(states.size > 0, [...states].join());
  });
