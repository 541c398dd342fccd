/** Snapshots with memory: a guest that counts on its disk goes back to where it was, as often as one likes, whoever dies meanwhile. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { consoleShows, define, defineDemo, disk, done, refused, statusOf } from '../support/driver.ts';
import { startInstance } from '../support/instance.ts';
import { killProcess } from '../support/small-machine.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());
const image = instance.disk('web');
const kept = `${instance.paths.managerState}/snapshots/web`;

async function counted(): Promise<number[]> {
  const text = await done(instance, 'console web --log');
  return [...text.matchAll(/synced (\d+)/g)].map(([, number]) => Number(number));
}

/** The number in the first sector, as the host reads it. */
function counterOnDisk(): number {
  const raw = `${instance.directory}/counter.raw`;
  execFileSync('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', image, raw], { timeout: 30_000 });
  return Number(readFileSync(raw).subarray(0, 512).toString('latin1').trim());
}

const tags = (): string =>
  execFileSync('qemu-img', ['snapshot', '-U', '-l', image], { encoding: 'utf8', timeout: 30_000 });

/** Where the guest was at the snapshot, as its disk has it. */
let first = 0;

before(async () => {
  await defineDemo(instance, { name: 'web', disk: image, switches: 'qward.synced', memory: '96MiB' });
  await done(instance, 'start web');
  await consoleShows(instance, 'web', /synced 5\b/);
});

test('a snapshot is made while the guest counts, and it counts on without a number left out', async () => {
  assert.equal(await done(instance, 'snapshot create web first'), 'web: snapshot first made');
  const [from = 0] = (await counted()).slice(-1);
  await consoleShows(instance, 'web', new RegExp(`synced ${from + 10}\\b`));
  const numbers = await counted();
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => index + 1),
  );
  await done(instance, 'audit web');
  assert.match(await done(instance, 'snapshot list web'), /^first .*MiB/m);
  assert.match(await refused(instance, 'snapshot create web first'), /has a snapshot "first" already/);
  for (const call of ['commit', 'pull'])
    assert.match(
      await refused(instance, `${call} web root`),
      /keeps its images: snapshot "first" stands on them/,
    );
  assert.match(
    await refused(instance, 'snapshot create web Bad_Name', { status: 2 }),
    /no name of a snapshot/,
  );
  assert.match(await refused(instance, 'snapshot revert web first --yes'), /runs/);
  assert.match(tags(), /qward-first/);
});

for (const time of ['once', 'twice'])
  test(`the machine goes back to it ${time}: disk and memory`, async () => {
    await done(instance, 'kill web');
    const before = counterOnDisk();
    assert.equal(await done(instance, 'snapshot revert web first --yes'), 'web: snapshot first reverted to');
    assert.equal((await statusOf(instance, 'web')).state, 'saved');
    const now = counterOnDisk();
    assert.ok(now < before, `${now} on the disk, ${before} before`);
    if (time === 'once') first = now;
    else assert.equal(now, first);
    assert.equal(await done(instance, 'start web'), 'web: restored');
    await done(instance, 'audit web');
    await delay(1000);
    for (let times = 0; ; times += 1) {
      const numbers = await counted();
      const back = numbers.slice(
        numbers.findLastIndex((number, index) => number <= (numbers[index - 1] ?? 0)),
      );
      // The guest may have been between the disk and the words.
      if (back.length > 5) {
        assert.ok((back[0] ?? 0) - first >= 0 && (back[0] ?? 0) - first <= 2, `${back[0]} follows ${first}`);
        break;
      }
      assert.ok(times < 100, numbers.join());
      await delay(200);
    }
  });

test('going back is whole or is done again, wherever the manager is killed', async () => {
  for (const afterMs of [0, 30, 80, 150, 300]) {
    await instance.qward(['kill', 'web']);
    await instance.qward(['discard-state', 'web']);
    const reverting = instance.qward(['snapshot', 'revert', 'web', 'first', '--yes']);
    await delay(afterMs + 150);
    await killProcess(instance.daemon('manager')).catch(() => undefined);
    await reverting;
    await instance.up();
    const status = await statusOf(instance, 'web');
    if (status.saved?.unusable !== null && status.saved !== null) {
      assert.match(await refused(instance, 'start web'), /going back to snapshot "first" was interrupted/);
      await done(instance, 'snapshot revert web first --yes');
    }
    if ((await statusOf(instance, 'web')).state === 'saved') {
      assert.equal(counterOnDisk(), first);
      assert.equal(await done(instance, 'start web'), 'web: restored');
    } else await done(instance, 'start web');
  }
});

test('a snapshot is removed from disks and memory, of a machine that runs and of one that does not', async () => {
  if ((await statusOf(instance, 'web')).state !== 'running') await done(instance, 'start web');
  await done(instance, 'snapshot create web second');
  assert.equal(await done(instance, 'snapshot rm web second --yes'), 'web: snapshot second removed');
  await done(instance, 'kill web');
  assert.match(tags(), /qward-first/);
  assert.ok(!tags().includes('qward-second'));
  const [memory = ''] = readdirSync(kept).filter((file) => file.endsWith('.zst'));
  appendFileSync(`${kept}/${memory}`, 'harm');
  // Before a disk is touched.
  assert.match(
    await refused(instance, 'snapshot revert web first --yes'),
    /the checksum of its memory differs/,
  );
  assert.equal((await statusOf(instance, 'web')).state, 'stopped');
  assert.equal(await done(instance, 'snapshot rm web first --yes'), 'web: snapshot first removed');
  assert.ok(!tags().includes('qward-'));
  assert.deepEqual(readdirSync(kept), []);
  assert.equal(await done(instance, 'snapshot list web'), 'web has no snapshot.');
});

test('while a snapshot is made no guest goes on by a word from outside, and none is removed', async () => {
  await done(instance, 'start web');
  await done(instance, 'snapshot create web old');
  const words: string[] = [];
  const made = instance.client.call('snapshotCreate', { name: 'web', snapshot: 'new' });
  for (let over = false; !over && words.length === 0;) {
    const resumed = await instance.client.call('resume', { name: 'web' });
    if (!resumed.ok) words.push(resumed.faults[0]?.message ?? '');
    over = await Promise.race([made.then(() => true), delay(1, false)]);
  }
  assert.deepEqual(words, ['machine "web" was not resumed: its memory is being kept']);
  const removed = done(instance, 'snapshot rm web old --yes');
  assert.ok((await made).ok);
  await removed;
  assert.equal(readdirSync(kept).filter((file) => file.endsWith('.zst')).length, 1);
  await done(instance, 'kill web');
  await done(instance, 'snapshot revert web new --yes');
  assert.equal(await done(instance, 'start web'), 'web: restored');
  await done(instance, 'kill web');
  await done(instance, 'snapshot rm web new --yes');
});

test('a machine with a raw disk is refused, with the cure', async () => {
  const path = instance.disk('raw').replace(/qcow2$/, 'raw');
  execFileSync('truncate', ['-s', '8M', path]);
  execFileSync('chown', [`--reference=${image}`, path]);
  await define(instance, ['name: raw', 'accel: tcg', 'memory: 32MiB', disk(path, 'raw'), ''].join('\n'));
  await done(instance, 'start raw');
  const said = await refused(instance, 'snapshot create raw first');
  assert.match(said, /disk "root" is raw, and only qcow2 holds snapshots/);
  assert.match(said, /qward disk convert/);
});

test('UEFI variables go back too', async () => {
  await define(instance, ['name: uefi', 'accel: tcg', 'memory: 64MiB', 'firmware: uefi', ''].join('\n'));
  await done(instance, 'start uefi');
  const vars = `${instance.paths.vars}/${readdirSync(instance.paths.vars).find((file) => file.startsWith('uefi')) ?? ''}`;
  const sum = (): string => createHash('sha256').update(readFileSync(vars)).digest('hex');
  await done(instance, 'snapshot create uefi first');
  const then = createHash('sha256')
    .update(readFileSync(`${instance.paths.managerState}/snapshots/uefi/first.vars`))
    .digest('hex');
  await done(instance, 'kill uefi');
  appendFileSync(vars, 'changed');
  await done(instance, 'snapshot revert uefi first --yes');
  assert.equal(sum(), then);
  assert.equal(await done(instance, 'start uefi'), 'uefi: restored');
});
