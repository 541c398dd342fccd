/** The life of a machine as its user sees it, with a real guest. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import {
  consoleShows,
  defineBare,
  defineDemo,
  done,
  nextEvent,
  refused,
  remains,
  statusOf,
} from '../support/driver.ts';
import { startInstance } from '../support/instance.ts';
import { sendKill } from '../support/send-kill.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());

const exitOf = async (machine: string): Promise<number> => (await instance.qward(['status', machine])).status;

test('a guest boots, is paused, goes on, is reset, shuts down, and starts again', async () => {
  await defineDemo(instance, { name: 'web', disk: instance.disk('web') });
  assert.equal(await exitOf('web'), 10);
  assert.equal(await done(instance, 'start web'), 'web: started');
  assert.equal(await exitOf('web'), 0);
  const running = await statusOf(instance, 'web');
  assert.equal(running.cgroup, `${instance.cgroupParent}/web`);
  assert.ok(running.uid !== null && running.uid >= instance.uidRange.base);
  assert.ok(running.pid !== null);
  assert.equal(running.audit?.ok, true);
  assert.equal(await done(instance, 'start web'), 'web: already running');
  await consoleShows(instance, 'web');

  assert.equal(await done(instance, 'pause web'), 'web: paused');
  assert.equal(await exitOf('web'), 13);
  assert.equal(await done(instance, 'pause web'), 'web: already paused');
  assert.equal(await done(instance, 'resume web'), 'web: resumed');
  assert.equal(await exitOf('web'), 0);

  assert.equal(await done(instance, 'reset web'), 'web: reset');
  await consoleShows(instance, 'web', /ready[\s\S]*ready/);
  assert.equal((await statusOf(instance, 'web')).pid, running.pid);

  assert.equal(await done(instance, 'stop web'), 'web: shut down');
  assert.equal(await exitOf('web'), 10);
  assert.deepEqual(remains(instance, 'web'), []);
  assert.equal(await done(instance, 'stop web'), 'web: already stopped');
  const { lastEnd, ...stopped } = await statusOf(instance, 'web');
  assert.deepEqual([lastEnd?.how, lastEnd?.message], ['shut down', 'the machine shut down: guest-shutdown']);
  assert.deepEqual([stopped.pid, stopped.uid, stopped.cgroup, stopped.audit], [null, null, null, null]);

  assert.equal(await done(instance, 'start web'), 'web: started');
  assert.equal((await statusOf(instance, 'web')).uid, running.uid, 'a machine keeps its uid');
  assert.equal(await done(instance, 'kill web'), 'web: killed');
  assert.equal((await statusOf(instance, 'web')).lastEnd?.how, 'killed');
  assert.deepEqual(remains(instance, 'web'), []);
});

test('a guest that ignores the power button is killed after its time limit, and the answer says so', async () => {
  await defineDemo(instance, { name: 'deaf', switches: 'qward.noacpi' });
  await done(instance, 'set deaf stop.timeout=1s');
  await done(instance, 'start deaf');
  await consoleShows(instance, 'deaf');
  assert.equal(await done(instance, 'stop deaf'), 'deaf: killed after 1s');
  assert.equal(await exitOf('deaf'), 10);
  assert.equal((await statusOf(instance, 'deaf')).lastEnd?.how, 'killed');
  assert.deepEqual(remains(instance, 'deaf'), []);
});

test('a guest that powers off by itself is stopped, and a start that waits returns then', async () => {
  await defineDemo(instance, { name: 'brief', switches: 'qward.poweroff' });
  assert.equal(await done(instance, 'start --wait brief', { timeoutMs: 90_000 }), 'brief: stopped');
  const { state, lastEnd } = await statusOf(instance, 'brief');
  assert.deepEqual([state, lastEnd?.how], ['stopped', 'shut down']);
  assert.match(await done(instance, 'console --log brief'), /qward-demo: ready/);
  assert.deepEqual(remains(instance, 'brief'), []);
});

test('a QEMU that is killed from outside is crashed, with the signal, and leaves nothing', async () => {
  await defineBare(instance, 'victim');
  await done(instance, 'start victim');
  const { pid } = await statusOf(instance, 'victim');
  const crash = await nextEvent(instance, ({ event }) => event === 'machine.crashed');
  sendKill(pid);
  await crash.arrived;
  assert.equal(await exitOf('victim'), 11);
  const { lastEnd } = await statusOf(instance, 'victim');
  assert.equal(lastEnd?.how, 'crashed');
  assert.match(lastEnd.message, /^QEMU was ended by SIGKILL$|this kernel does not tell how$/);
  assert.deepEqual(remains(instance, 'victim'), []);
  assert.equal(await done(instance, 'start victim'), 'victim: started');
  await done(instance, 'kill victim');
});

test('names, globs, tags and --all choose machines; each answers for itself', async () => {
  for (const name of ['app1', 'app2', 'db1']) await defineBare(instance, name);
  await done(instance, 'set app2 tags=shop');
  await done(instance, 'set db1 tags=shop');
  const lines = async (words: string): Promise<string[]> => (await done(instance, words)).split('\n').sort();

  assert.deepEqual(await lines('start app*'), ['app1: started', 'app2: started']);
  assert.deepEqual(await lines('start tag:shop'), ['app2: already running', 'db1: started']);
  assert.deepEqual(await lines('pause app1 db1'), ['app1: paused', 'db1: paused']);
  const list = JSON.parse(await done(instance, 'list --json')) as { name: string; state: string }[];
  assert.deepEqual(
    list.filter(({ name }) => /\d$/.test(name)).map(({ name, state }) => `${name} ${state}`),
    ['app1 paused', 'app2 running', 'db1 paused'],
  );
  assert.match(
    await refused(instance, 'kill --all', { status: 2 }),
    /^Kill app1, app2, db1\? This is not a terminal/,
  );
  assert.deepEqual(await lines('kill --all --yes'), ['app1: killed', 'app2: killed', 'db1: killed']);
  assert.equal(await done(instance, 'stop --all'), 'Nothing to do.');

  const mixed = await instance.qward(['start', 'app1', 'ap2']);
  assert.equal(mixed.status, 3);
  assert.equal(mixed.stdout, 'app1: started\n');
  assert.equal(mixed.stderr, 'ap2: there is no machine "ap2"\n  Did you mean "app2"?\n');
  assert.match(await refused(instance, 'start none*', { status: 3 }), /^no machine matches "none\*"/);
  assert.match(await refused(instance, 'start tag:none', { status: 3 }), /^no machine has the tag "none"/);
  await done(instance, 'kill app1');
});

test('a paused start runs no instruction of the guest until it is resumed', async () => {
  await defineDemo(instance, { name: 'held', switches: 'qward.poweroff' });
  assert.equal(await done(instance, 'start --paused held'), 'held: started');
  assert.equal(await exitOf('held'), 13);
  assert.equal(await done(instance, 'console --log held'), '');
  await done(instance, 'resume held');
  assert.equal(await done(instance, 'wait held --timeout 80s', { timeoutMs: 90_000 }), 'held: stopped');
});

test('logs tell what was done to a machine, by whom, and how it ended', async () => {
  const texts = (await done(instance, 'logs victim')).replaceAll(/^\S+ +/gm, '');
  const wanted =
    /defined by root\n[\s\S]*start asked for by root\n[\s\S]*started as pid \d+, uid \d+, every wall proved\n[\s\S]*QEMU/;
  assert.match(texts, wanted);
});
