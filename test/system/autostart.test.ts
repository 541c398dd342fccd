/** What starts with the host: real machines, in their order, as far as they can; who may say so; and a manager that dies meanwhile. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { after, beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { startsAtOnce } from '../../src/manager/autostart/boot.ts';
import { startWithAccounts } from '../support/accounts.ts';
import { bareMachine, defineBare, defineDemo, done, refused, statusOf } from '../support/driver.ts';
import { killProcess } from '../support/small-machine.ts';

const [ada, oscar, alice] = [910_000_021, 910_000_022, 910_000_023];
const instance = await startWithAccounts([
  { name: 'ada', uid: ada, groups: ['qward-admin'] },
  { name: 'oscar', uid: oscar, groups: ['qward-operators'] },
  { name: 'alice', uid: alice },
]);
after(() => instance[Symbol.asyncDispose]());
instance.writePolicy({ operate: 'all', define: { users: ['alice'], groups: [] } });
const patient = { timeoutMs: 180_000 };

beforeEach(async () => {
  await done(instance, 'kill --all --yes');
  const names = await done(instance, 'list -q');
  if (names !== '') await done(instance, ['rm', '--force', '--yes', ...names.split('\n')]);
  assert.equal(await done(instance, 'autostart list -q'), '', 'removed machines start no more');
});

async function boot(status = 0): Promise<string[]> {
  const outcome = await instance.qward(['host', 'start-machines'], patient);
  assert.equal(outcome.status, status, outcome.stderr + outcome.stdout);
  return outcome.stdout.trimEnd().split('\n');
}

const autostart = (...lines: string[]): string =>
  ['autostart:', ...lines.map((line) => `  ${line}`)].join('\n');

/** When each was started, by the manager's own count. */
async function startedAt(...names: string[]): Promise<number[]> {
  return await Promise.all(names.map(async (name) => Date.parse((await statusOf(instance, name)).since)));
}

test('a chain starts in its order, with its delay, and again nothing more happens', async () => {
  await defineBare(instance, 'c', autostart('after: [b]'));
  await defineBare(instance, 'b', autostart('delay: 1500ms'));
  await done(instance, 'set b autostart.after=a');
  await defineBare(instance, 'a');
  assert.equal(
    await done(instance, 'autostart on c b a'),
    ['c: starts with the host', 'b: starts with the host', 'a: starts with the host'].join('\n'),
  );
  assert.equal(await done(instance, 'autostart on a'), 'a: starts with the host already');
  assert.deepEqual(await boot(), ['a: started', 'b: started', 'c: started']);
  const [a = 0, b = 0, c = 0] = await startedAt('a', 'b', 'c');
  assert.ok(b - a >= 1500, `b came ${b - a} ms after a`);
  assert.ok(c > b);
  assert.deepEqual((await boot()).sort(), ['a: runs already', 'b: runs already', 'c: runs already']);
  const table = await done(instance, 'autostart list');
  assert.match(table, /^NAME +ENABLED BY +AFTER +READY +LAST BOOT\n/);
  assert.match(table, /\nb +root +a +qmp +runs already$/m);
  assert.match(await done(instance, 'list'), /AUTO/);
  assert.match(await done(instance, 'status a'), /autostart +starts with the host/);
});

test('what fails, a cycle, and what is not there hold up those alone that need them', async () => {
  await defineBare(
    instance,
    'db',
    'disks:',
    '  - id: root',
    `    path: ${instance.paths.images}/nothing.qcow2`,
    '    format: qcow2',
  );
  await defineBare(instance, 'web', autostart('after: [db]'));
  await defineBare(instance, 'proxy', autostart('after: [web]'));
  await defineBare(instance, 'one', autostart('after: [two]'));
  await defineBare(instance, 'two', autostart('after: [one]'));
  await defineBare(instance, 'lost', autostart('after: [nothing]'));
  await defineBare(instance, 'fine');
  await done(instance, 'autostart on --all');
  const lines = (await boot(1)).sort();
  assert.deepEqual(
    lines.map((line) => line.replaceAll(instance.paths.images, 'DIR')),
    [
      'db: not started: disk "root": "DIR/nothing.qcow2" does not exist',
      'fine: started',
      'lost: not started: it comes after nothing, which is not defined',
      'one: not started: it comes after itself: one after two after one',
      'proxy: not started: it comes after web, which was not started either: it comes after db, which failed to start: disk "root": "DIR/nothing.qcow2" does not exist',
      'two: not started: it comes after itself: two after one after two',
      'web: not started: it comes after db, which failed to start: disk "root": "DIR/nothing.qcow2" does not exist',
    ],
  );
  assert.match(
    await done(instance, 'logs web'),
    /not started with the host: it comes after db, which is not ready/,
  );
  const log = readFileSync(`${instance.roots.run}/manager.log`, 'utf8').split('\n');
  for (const name of ['db', 'web', 'proxy', 'fine'])
    assert.equal(
      log.filter((line) => line.includes('with the host') && line.includes(`"${name}"`)).length,
      1,
      name,
    );
});

test('no more start at once than the host has room for', async () => {
  const names = Array.from({ length: Math.min(startsAtOnce + 4, 60) }, (_, index) => `m${index}`);
  for (const name of names) await defineBare(instance, name);
  await done(instance, 'autostart on m*');
  let most = 0;
  const over = new AbortController();
  const booting = boot().finally(() => over.abort());
  while (!over.signal.aborted) {
    const reply = await instance.client.call('list');
    assert.ok(reply.ok);
    most = Math.max(most, reply.result.filter(({ state }) => state === 'starting').length);
    await delay(5);
  }
  assert.equal((await booting).length, names.length);
  assert.ok(most >= 1 && most <= startsAtOnce, `${most} at once`);
});

test('a guest that is slow to come up is waited for: its agent answers, or its port accepts', async () => {
  const listener = createServer((socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  try {
    const ready = autostart('ready: guest-agent', 'timeout: 150s');
    await defineDemo(instance, { name: 'db', switches: 'qward.agent', more: `agent: true\n${ready}` });
    await defineBare(
      instance,
      'app',
      autostart('after: [db]', 'ready: port', 'address: 127.0.0.1', `port: ${port}`),
    );
    await defineBare(instance, 'web', autostart('after: [app]'));
    await done(instance, 'autostart on db app web');
    assert.deepEqual(await boot(), ['db: started', 'app: started', 'web: started']);
    assert.match(await done(instance, 'console --log db'), /qward-demo: ready/);
  } finally {
    listener.close();
  }
});

test('an agent that stays silent, and a port that nobody listens on, are not ready in time', async () => {
  await defineDemo(instance, {
    name: 'db',
    more: `agent: true\n${autostart('ready: guest-agent', 'timeout: 2s')}`,
  });
  await defineBare(instance, 'web', autostart('ready: port', 'address: 127.0.0.1', 'port: 1', 'timeout: 1s'));
  await defineBare(instance, 'app', autostart('after: [db]'));
  await done(instance, 'autostart on --all');
  const lines = (await boot(1)).sort();
  assert.match(lines[0] ?? '', /^app: not started: it comes after db, which is not ready: /);
  assert.match(lines[1] ?? '', /^db: started, not ready: the guest agent did not answer \(.*\) within 2 s$/);
  assert.equal(
    lines[2],
    'web: started, not ready: 127.0.0.1:1 accepted no connection (ECONNREFUSED) within 1 s',
  );
});

test('administrators enable, over connections of their own; operators and owners only disable', async () => {
  await done(instance, 'define -', { uid: alice, stdin: bareMachine('web') });
  await done(instance, 'define -', { stdin: bareMachine('secret') });
  for (const uid of [oscar, alice]) {
    const words = await refused(instance, 'autostart on web', { status: 4, uid });
    assert.match(words, /only administrators enable the start of a machine with the host/);
    assert.match(words, /ask root, or a member of the group qward-admin/);
    assert.match(words, /groups\.administrators/);
  }
  assert.equal(await done(instance, 'autostart list -q'), '');
  const unknown = await refused(instance, 'autostart on wbe', { status: 3, uid: ada });
  assert.match(unknown, /Did you mean "web"\?/);
  await done(instance, 'autostart on web secret', { uid: ada });
  assert.match(await done(instance, 'autostart list', { uid: ada }), /\nweb +ada /);
  assert.equal(
    await done(instance, 'autostart list -q', { uid: alice }),
    'web',
    'of others she sees nothing',
  );
  assert.equal(
    await done(instance, 'autostart off web', { uid: alice }),
    'web: no longer starts with the host',
  );
  await refused(instance, 'autostart off secret', { status: 3, uid: alice });
  assert.equal(
    await done(instance, 'autostart off secret', { uid: oscar }),
    'secret: no longer starts with the host',
  );
  for (const uid of [oscar, alice])
    assert.match(
      await refused(instance, 'host start-machines', { status: 4, uid }),
      /needs the right "host"/,
    );
  const history = await done(instance, 'history --json');
  const calls = new Set(
    (JSON.parse(history) as { call: string; user: string; outcome: string }[]).map(
      ({ call, user, outcome }) => `${call} ${user} ${outcome}`,
    ),
  );
  for (const entry of ['autostartOff alice done', 'autostartOff oscar done', 'hostBoot alice refused'])
    assert.ok(calls.has(entry), entry);
  const register = `${instance.paths.brokerState}/autostart.json`;
  const { uid, mode } = statSync(register);
  assert.deepEqual([uid, mode & 0o777], [0, 0o600]);
});

test('who does not see what a machine comes after is not told of it', async () => {
  await done(instance, 'define -', { stdin: bareMachine('secret', autostart('after: [hidden]')) });
  await done(instance, 'define -', { uid: alice, stdin: bareMachine('web', autostart('after: [secret]')) });
  await done(instance, 'autostart on web secret');
  const lines = await boot(1);
  assert.ok(lines.some((line) => line.includes('web: not started') && line.includes('hidden')));
  const seen = await done(instance, 'autostart list', { uid: alice });
  assert.match(seen, /not started: it comes after secret, which is not ready$/m);
});

test('a manager that is killed in the middle is waited for, and the rest is started', async () => {
  await defineBare(instance, 'db', autostart('ready: delay', 'settle: 4s'));
  await defineBare(instance, 'web', autostart('after: [db]'));
  await defineBare(instance, 'app', autostart('after: [web]'));
  await done(instance, 'autostart on db web app');
  const booting = boot();
  const up = await instance.client.call('wait', { name: 'db', states: ['running'] });
  assert.ok(up.ok, JSON.stringify(up));
  const { pid } = await statusOf(instance, 'db');
  await killProcess(instance.daemon('manager'));
  await instance.up();
  const lines = await booting;
  assert.deepEqual(
    lines.map((line) => line.split(':')[0]),
    ['db', 'web', 'app'],
  );
  assert.deepEqual(lines.slice(1), ['web: started', 'app: started']);
  assert.equal((await statusOf(instance, 'db')).pid, pid, 'it ran on');
});

test('a manager that is killed while machines are just being started leaves none half started', async () => {
  const names = Array.from({ length: 6 }, (_, index) => `k${index}`);
  for (const name of names) await defineBare(instance, name);
  await done(instance, 'autostart on k*');
  const booting = boot();
  for (;;) {
    const reply = await instance.client.call('list');
    assert.ok(reply.ok);
    if (reply.result.some(({ state }) => state === 'starting')) break;
    await delay(2);
  }
  await killProcess(instance.daemon('manager'));
  await instance.up();
  const lines = await booting;
  assert.equal(lines.length, names.length, lines.join('\n'));
  for (const name of names)
    assert.ok(lines.includes(`${name}: started`) || lines.includes(`${name}: runs already`), name);
  for (const name of names) {
    assert.equal((await statusOf(instance, name)).state, 'running', name);
    await done(instance, ['audit', '-q', name]);
  }
});

test('host up starts what starts with the host, unless it finds daemons or is told not to', async () => {
  await defineBare(instance, 'db', 'onHostShutdown: kill');
  await done(instance, 'autostart on db');
  await killProcess(instance.daemon('manager'));
  await instance.up();
  assert.equal(
    (await statusOf(instance, 'db')).state,
    'stopped',
    'a manager that came back is no start of the host',
  );
  await done(instance, ['host', 'down', ...instance.hostFlags]);
  await instance.up();
  assert.equal((await statusOf(instance, 'db')).state, 'running');
  await done(instance, ['host', 'down', ...instance.hostFlags]);
  await done(instance, ['host', 'up', '--no-autostart', ...instance.hostFlags]);
  assert.equal((await statusOf(instance, 'db')).state, 'stopped');
});
