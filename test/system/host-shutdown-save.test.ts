/** Machines that are saved as the host goes down go on when it is up again; one that cannot be saved is stopped, and the line says why. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { consoleShows, defineDemo, done, statusOf } from '../support/driver.ts';
import { startInstance } from '../support/instance.ts';

test('a machine is saved with the host and goes on with it; one whose device cannot be saved is shut down instead', async () => {
  await using instance = await startInstance();
  const save = 'onHostShutdown: save';
  const memory = '96MiB';
  await defineDemo(instance, {
    name: 'web',
    disk: instance.disk('web'),
    switches: 'qward.synced',
    memory,
    more: save,
  });
  const nvme = [
    'disks:',
    '  - id: root',
    `    path: ${instance.disk('nvme')}`,
    '    format: qcow2',
    '    bus: nvme',
    save,
  ];
  await defineDemo(instance, { name: 'other', memory, more: nvme.join('\n') });
  await done(instance, 'start web other');
  await done(instance, 'autostart on web');
  await consoleShows(instance, 'web', /synced 5\b/);
  await consoleShows(instance, 'other');
  const { status, stdout } = await instance.qward(['host', 'down', ...instance.hostFlags], {
    timeoutMs: 120_000,
  });
  assert.equal(status, 0, stdout);
  assert.match(stdout, /^web: saved$/m);
  assert.match(stdout, /^other: shut down, since machine "other" was not saved: .*nvme/m);
  await instance.up();
  await done(instance, 'wait web --for running');
  assert.equal((await statusOf(instance, 'other')).state, 'stopped');
  const text = await done(instance, 'console web --log');
  const last = Number([...text.matchAll(/synced (\d+)/g)].at(-1)?.[1]);
  const more = await consoleShows(instance, 'web', new RegExp(`synced ${last + 5}\\b`));
  const numbers = [...more.matchAll(/synced (\d+)/g)].map(([, number]) => Number(number));
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => index + 1),
    'none is left out, none is said twice',
  );
  await done(instance, 'audit web');
});
