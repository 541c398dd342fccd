/** The host goes down: nothing of what a guest has synced is lost, each machine has its own limit, and the order is kept. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import { startTimeOf } from '../../src/linux/process.ts';
import { consoleShows, defineBare, defineDemo, done, remains, statusOf } from '../support/driver.ts';
import { startInstance, type Instance } from '../support/instance.ts';
import { killProcess } from '../support/small-machine.ts';

const stopMachines = (instance: Instance): ReturnType<Instance['qward']> =>
  instance.qward(['host', 'stop-machines', ...instance.hostFlags], { timeoutMs: 120_000 });

/** The number in the first sector, as the host reads it. */
function counterOf(instance: Instance, image: string): number {
  const raw = `${instance.directory}/counter.raw`;
  execFileSync('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', image, raw], { timeout: 30_000 });
  return Number(readFileSync(raw).subarray(0, 512).toString('latin1').trim());
}

async function reported(instance: Instance, name: string): Promise<number> {
  const text = await done(instance, `console --log ${name}`);
  return Number(
    text
      .match(/synced (\d+)/g)
      ?.at(-1)
      ?.replace('synced ', ''),
  );
}

test('what a guest wrote and synced until the host went down is in its image', async (t) => {
  await using instance = await startInstance();
  const disks = { obeys: instance.disk('obeys'), deaf: instance.disk('deaf') };
  await defineDemo(instance, { name: 'obeys', disk: disks.obeys, switches: 'qward.synced', memory: '96MiB' });
  const switches = 'qward.synced qward.noacpi';
  await defineDemo(instance, { name: 'deaf', disk: disks.deaf, switches, memory: '96MiB' });
  await done(instance, 'set deaf stop.timeout=3s');
  for (let round = 1; round <= 3; round += 1) {
    if (round > 1) await done(instance, ['host', 'start-machines', ...instance.hostFlags]);
    await done(instance, 'start obeys deaf');
    for (const name of ['obeys', 'deaf']) await consoleShows(instance, name, /synced \d/, { replay: false });
    const { status, stdout, stderr } = await stopMachines(instance);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^obeys: shut down\ndeaf: killed after 3s\n$/);
    for (const name of ['obeys', 'deaf'] as const) {
      const [said, found] = [await reported(instance, name), counterOf(instance, disks[name])];
      t.diagnostic(`round ${round}, ${name}: synced ${said}, in the image ${found}`);
      assert.ok(said > 0 && found >= said, `${name}: ${found} in the image, ${said} was synced`);
      assert.deepEqual(remains(instance, name), []);
    }
    const refused = await instance.qward(['start', 'obeys']);
    assert.match(refused.stderr, /the host goes down/);
  }
});

test('machines go in reverse order, each with its own limit; killed and left are as the definition says', async () => {
  await using instance = await startInstance();
  await defineDemo(instance, { name: 'db', memory: '96MiB' });
  await defineDemo(instance, { name: 'web', memory: '96MiB', more: 'autostart: {after: [db]}' });
  await defineBare(instance, 'deaf', 'stop: {timeout: 1s}', 'autostart: {after: [web]}');
  await defineBare(instance, 'killed', 'onHostShutdown: kill', 'stop: {timeout: 1h}');
  await defineBare(instance, 'left', 'onHostShutdown: leave');
  await done(instance, 'start db web deaf killed left');
  for (const name of ['db', 'web']) await consoleShows(instance, name);
  const pid = (await statusOf(instance, 'left')).pid ?? 0;
  const { status, stdout, stderr } = await stopMachines(instance);
  assert.equal(status, 0, stderr);
  const lines = stdout.trimEnd().split('\n');
  const ordered = lines.filter((line) => /^(?:db|web|deaf)/.test(line));
  assert.deepEqual(ordered, ['deaf: killed after 1s', 'web: shut down', 'db: shut down']);
  assert.ok(lines.includes('killed: killed') && lines.includes('left: left running'), stdout);
  assert.notEqual(startTimeOf(pid), undefined);
  const down = await instance.qward(['host', 'down', ...instance.hostFlags]);
  assert.equal(down.status, 0, down.stderr);
  assert.equal(down.stdout, 'left: left running\nqward is down\n');
  assert.notEqual(startTimeOf(pid), undefined);
});

test('a manager that dies in the middle is asked again when it is back', async () => {
  await using instance = await startInstance();
  await defineBare(instance, 'slow', 'stop: {timeout: 4s}');
  await defineBare(instance, 'quick', 'stop: {timeout: 1s}');
  await done(instance, 'start slow quick');
  const stopping = stopMachines(instance);
  const giveUpAt = performance.now() + 30_000;
  while ((await statusOf(instance, 'quick')).state !== 'stopped') {
    assert.ok(performance.now() < giveUpAt);
    await delay(20);
  }
  await killProcess(instance.daemon('manager'));
  await done(instance, ['host', 'up', '--no-autostart', ...instance.hostFlags]);
  const { status, stdout, stderr } = await stopping;
  assert.equal(status, 0, stderr);
  assert.equal(stdout, 'quick: killed after 1s\nslow: killed after 4s\n');
  assert.deepEqual(remains(instance, 'slow'), []);
  assert.match((await instance.qward(['start', 'slow'])).stderr, /the host goes down/);
});
