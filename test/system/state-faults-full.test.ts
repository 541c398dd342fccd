/** No space on /run, and none for state: a clear word, nothing half-done, nobody who runs hurt, and all works again after. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { startTimeOf } from '../../src/linux/process.ts';
import { traces } from '../support/broker.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { startInstance, type Instance } from '../support/instance.ts';
import {
  consoleShows,
  define,
  defineAndStart,
  faultsOf,
  granted,
  killProcess,
  reach,
  smallMachine,
  start,
  statusOf,
} from '../support/small-machine.ts';
import { mountSmall } from '../support/small-file-system.ts';

const daemons = (instance: Instance): number[] => [instance.daemon('broker'), instance.daemon('manager')];

test('a full /run: a start is refused with the place and the cure and leaves nothing, what runs goes on', async () => {
  await using instance = await startInstance({ down: true });
  const run = mountSmall(instance, instance.roots.run, 2 * 1024 * 1024);
  await instance.up();
  const pid = await defineAndStart(instance, 'runs');
  const victim = await defineAndStart(instance, 'victim');
  await define(instance, smallMachine('one'));
  const before = traces(instance);
  const pair = daemons(instance);
  run.fill();

  const refused = await instance.qward(['start', 'one']);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /no space to start "one": \S+\/r\/broker could not be written[^]*make room/);
  assert.deepEqual(traces(instance), before);
  await killProcess(victim);
  await reach(instance, 'victim', ['crashed']);
  assert.match(
    faultsOf(await instance.client.call('start', { name: 'victim' })),
    /^resources-short: no space/,
  );
  for (const words of [
    ['pause', 'runs'],
    ['resume', 'runs'],
    ['audit', 'runs'],
    ['logs', 'runs'],
  ])
    assert.equal((await instance.qward(words)).status, 0, words.join(' '));
  assert.equal((await statusOf(instance, 'runs')).pid, pid);
  assert.deepEqual(daemons(instance), pair);
  for (const daemon of pair) assert.ok(startTimeOf(daemon) !== undefined);
  assert.equal((await instance.qward(['kill', 'runs'])).status, 0);
  assert.deepEqual(traces(instance), []);

  run.empty();
  for (const name of ['one', 'victim', 'runs']) await start(instance, name);
});

test('a full /run: daemons whose log cannot be written go on', async () => {
  await using instance = await startInstance({ down: true });
  const run = mountSmall(instance, instance.roots.run, 2 * 1024 * 1024);
  await instance.up();
  const pid = await defineAndStart(instance, 'runs');
  const manager = instance.daemon('manager');
  const logBefore = statSync(`${instance.roots.run}/manager.log`).size;
  run.fill();
  await killProcess(instance.daemon('broker'));
  await killProcess(pid);
  // The broker cannot be told: that goes to the log, again and again.
  await reach(instance, 'runs', ['crashed']);
  assert.ok(startTimeOf(manager) !== undefined);
  run.empty();
  await instance.up();
  assert.equal(instance.daemon('manager'), manager);
  await start(instance, 'runs');
  assert.ok(statSync(`${instance.roots.run}/manager.log`).size >= logBefore);
});

test('a full /run: a manager that died is not brought up, nor anything else left; with space it is', async () => {
  await using instance = await startInstance({ down: true });
  const run = mountSmall(instance, instance.roots.run, 2 * 1024 * 1024);
  await instance.up();
  const pid = await defineAndStart(instance, 'runs');
  await killProcess(instance.daemon('manager'));
  run.fill();
  const broker = instance.daemon('broker');
  const refused = await instance.qward(['host', 'up', ...instance.hostFlags]);
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /not brought up: ENOSPC[^]*make room on the file systems/);
  const status = await instance.qward(['host', 'status', ...instance.hostFlags]);
  assert.match(status.stdout, new RegExp(`^qward-broker runs as pid ${broker}\n$`));
  run.empty();
  await instance.up();
  assert.equal(instance.daemon('broker'), broker);
  assert.equal((await reach(instance, 'runs', ['running'])).pid, pid);
});

/** Files of the manager's, without those that only say what was. */
const definitionFiles = ({ paths }: Instance): string[] =>
  readdirSync(`${paths.managerState}/machines`).map(
    (file) => `${file}: ${readFileSync(`${paths.managerState}/machines/${file}`, 'utf8')}`,
  );

test('no space for state: nothing is half-defined or half-changed, and what runs goes on', async () => {
  await using instance = await startInstance({ down: true });
  const state = mountSmall(instance, instance.roots.state, 2 * 1024 * 1024);
  await instance.up();
  const pid = await defineAndStart(instance, 'runs');
  await defineAndStart(instance, 'known');
  granted(await instance.client.call('kill', { name: 'known' }));
  await define(instance, smallMachine('new'));
  const before = definitionFiles(instance);
  const pair = daemons(instance);
  state.fill();

  const source = smallMachine('more', [`description: ${'x'.repeat(900)}`]);
  const changed = smallMachine('runs', [`description: ${'y'.repeat(900)}`]);
  const unwritable = /^state-unwritable: \S+ could not be written: ENOSPC/;
  assert.match(
    faultsOf(await instance.client.call('define', { source, replace: false, dryRun: false })),
    unwritable,
  );
  assert.match(faultsOf(await instance.client.call('edit', { name: 'runs', source: changed })), unwritable);
  const set = { name: 'runs', changes: [{ key: 'memory', value: '64MiB' }] };
  assert.match(faultsOf(await instance.client.call('set', set)), unwritable);
  assert.match(
    faultsOf(await instance.client.call('rename', { name: 'new', to: 'newer' })),
    /no space|ENOSPC/i,
  );
  assert.match(faultsOf(await instance.client.call('clone', { name: 'new', to: 'newer' })), unwritable);
  assert.deepEqual(definitionFiles(instance), before);
  assert.equal((await instance.qward(['show', 'runs'])).stdout.trim(), smallMachine('runs').trim());
  // A machine that has a uid needs no space; one that has none yet is refused.
  await start(instance, 'known');
  assert.match(
    faultsOf(await instance.client.call('start', { name: 'new' })),
    /^resources-short: no space to start "new"/,
  );
  assert.equal((await statusOf(instance, 'runs')).pid, pid);
  assert.equal((await instance.qward(['kill', 'known'])).status, 0);
  assert.equal((await statusOf(instance, 'known')).state, 'stopped');
  assert.deepEqual(daemons(instance), pair);

  state.empty();
  await define(instance, source);
  granted(await instance.client.call('edit', { name: 'runs', source: changed }));
  await start(instance, 'new');
  granted(await instance.client.call('kill', { name: 'new' }));
  granted(await instance.client.call('remove', { name: 'new' }));
  for (const daemon of ['broker', 'manager'] as const) await killProcess(instance.daemon(daemon));
  await instance.up();
  const names = granted(await instance.client.call('list')).map(({ name }) => name);
  assert.deepEqual(names, ['known', 'more', 'runs']);
  // What was done while nothing could be written is in the history as well.
  const kept = granted(await instance.client.call('history', { limit: 10_000 }));
  assert.ok(kept.some(({ call, outcome }) => call === 'rename' && outcome === 'failed'));
});

test('no space for the scroll-back: the console goes on, what was kept is kept, and later output is kept again', async () => {
  await using instance = await startInstance({ down: true });
  const state = mountSmall(instance, instance.roots.state, 4 * 1024 * 1024);
  await instance.up();
  await define(instance, demoMachine({ name: 'guest', guest: instance.guest, memory: '96MiB' }));
  const pid = await start(instance, 'guest');
  await consoleShows(instance, 'guest', /qward-demo: ready/);
  state.fill();

  const stream = granted(
    await instance.client.console({ name: 'guest', mode: 'write', steal: true, replay: false }),
  );
  let live = '';
  const say = async (text: string, seen: RegExp): Promise<void> => {
    stream.write(Buffer.from(`${text}\n`));
    for await (const message of stream) {
      if (message.kind === 'output') live += Buffer.from(message.bytes).toString('utf8');
      if (seen.test(live)) return;
    }
  };
  // More than a page, so that some of it cannot be kept.
  await say('for i in $(seq 1 40); do seq 1 80 | tr "\\n" " "; echo; done; echo full-$((1 + 1))', /full-2/);
  assert.equal((await statusOf(instance, 'guest')).pid, pid);
  const kept = granted(await instance.client.call('consoleOutput', { name: 'guest' }));
  assert.match(Buffer.from(kept.output, 'base64').toString('utf8'), /qward-demo: ready/);
  assert.ok(kept.lost > 0, 'what was not kept is counted');

  state.empty();
  stream.write(Buffer.from('echo space-$((2 + 2))\n'));
  const text = await consoleShows(instance, 'guest', /space-4/);
  assert.match(text, /qward-demo: ready/);
  stream.close();
});
