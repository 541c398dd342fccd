/** Starting with the host, in a manager in front of a fake broker: order, readiness, failures, and who is told what. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { CallResult } from '../../src/api/calls.ts';
import { definition, startManager, type TestManager } from '../support/test-manager.ts';

type Booted = CallResult<'hostBoot'>['machines'][number];

/** Defines machines, each with lines of its `autostart`, and enables them in this order. */
async function machines(
  { client, broker }: TestManager,
  all: Readonly<Record<string, string>>,
): Promise<void> {
  for (const [name, lines] of Object.entries(all)) {
    const more = lines === '' ? '' : `autostart:\n${lines.replaceAll(/^/gm, '  ')}\n`;
    const agent = lines.includes('guest-agent') ? 'agent: true\n' : '';
    const reply = await client.call('define', { source: definition(name, agent + more) });
    assert.ok(reply.ok, JSON.stringify(reply));
  }
  broker.autostart = Object.keys(all).map((machine) => ({ machine, by: 0, at: '2026-01-01T00:00:00.000Z' }));
}

async function boot({ client }: TestManager): Promise<readonly Booted[]> {
  const reply = await client.call('hostBoot', {});
  assert.ok(reply.ok, JSON.stringify(reply));
  return reply.result.machines;
}

const told = (rows: readonly Booted[]): Record<string, string> =>
  Object.fromEntries(
    rows.map(({ name, state, reason }) => [name, reason === null ? state : `${state}: ${reason}`]),
  );

async function stateOf({ client }: TestManager, name: string): Promise<Booted> {
  const reply = await client.call('autostart');
  assert.ok(reply.ok, JSON.stringify(reply));
  const entry = reply.result.machines.find((machine) => machine.name === name);
  assert.ok(entry !== undefined, `${name} is not enabled`);
  return entry.boot;
}

async function until(wanted: () => Promise<boolean>): Promise<void> {
  const giveUpAt = performance.now() + 30_000;
  while (!(await wanted())) {
    assert.ok(performance.now() < giveUpAt, 'it did not come to that');
    await delay(10);
  }
}

test('machines start in their order, and a second boot finds them running', async (context) => {
  const manager = await startManager(context);
  await machines(manager, { web: 'after: [app]', app: 'after: [db]\ndelay: 50ms', db: '', other: '' });
  assert.deepEqual((await stateOf(manager, 'web')).state, 'not-begun');
  const rows = await boot(manager);
  assert.deepEqual(told(rows), { web: 'ready', app: 'ready', db: 'ready', other: 'ready' });
  assert.deepEqual(
    rows.map(({ ran }) => ran),
    [false, false, false, false],
  );
  const started = manager.manager.events.recent(100).filter(({ event }) => event === 'machine.started');
  const place = (name: string): number => started.findIndex(({ machine }) => machine === name);
  assert.ok(place('db') < place('app') && place('app') < place('web'));
  assert.deepEqual(
    (await boot(manager)).map(({ ran, state }) => [ran, state]),
    rows.map(() => [true, 'ready']),
  );
  const log = manager.log.filter((line) => line.includes('started with the host'));
  assert.equal(log.length, 8, 'a line for each machine, each time');
});

test('what cannot start holds up only what comes after it, which says why', async (context) => {
  const manager = await startManager(context);
  await machines(manager, {
    db: '',
    web: 'after: [db]',
    proxy: 'after: [web]',
    one: 'after: [two]',
    two: 'after: [one]',
    lost: 'after: [nothing]',
    fine: '',
  });
  manager.broker.launchRefusal = { code: 'file-missing', message: 'db.qcow2 is not there', hint: '' };
  manager.broker.refusedMachine = 'db';
  assert.deepEqual(told(await boot(manager)), {
    db: 'failed: db.qcow2 is not there',
    web: 'skipped: it comes after db, which failed to start: db.qcow2 is not there',
    proxy:
      'skipped: it comes after web, which was not started either: it comes after db, which failed to start: db.qcow2 is not there',
    one: 'skipped: it comes after itself: one after two after one',
    two: 'skipped: it comes after itself: two after one after two',
    lost: 'skipped: it comes after nothing, which is not defined',
    fine: 'ready',
  });
  const events = manager.manager.events
    .recent(100)
    .filter(({ event }) => event.startsWith('machine.autostart-'));
  const proxy = events.find(({ machine }) => machine === 'proxy');
  assert.equal(proxy?.event, 'machine.autostart-skipped');
  assert.equal(
    proxy.details['reason'],
    'it comes after web, which is not ready',
    'no word of other machines',
  );
});

test('a machine that runs and is not enabled is waited for; one that does neither holds who comes after it', async (context) => {
  const manager = await startManager(context);
  await machines(manager, { db: '', cache: '', web: 'after: [db]', app: 'after: [cache]' });
  manager.broker.autostart = manager.broker.autostart.filter(({ machine }) =>
    ['web', 'app'].includes(machine),
  );
  await manager.client.call('start', { name: 'db' });
  const rows = told(await boot(manager));
  assert.equal(rows['web'], 'ready');
  assert.match(rows['app'] ?? '', /^skipped: it comes after cache, which does not start with the host/);
});

test('ready: port waits until the port accepts, and no longer than its time limit', async (context) => {
  const manager = await startManager(context);
  const server = createServer((socket) => socket.on('error', () => undefined));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const lines = (timeout: string): string =>
    `ready: port\naddress: 127.0.0.1\nport: ${port}\ntimeout: ${timeout}`;
  await machines(manager, { db: lines('60s'), web: 'after: [db]' });
  const booting = boot(manager);
  await until(async () => (await stateOf(manager, 'db')).state === 'started');
  assert.equal((await stateOf(manager, 'web')).state, 'waiting');
  server.listen(port, '127.0.0.1');
  context.after(() => server.close());
  assert.deepEqual(told(await booting), { db: 'ready', web: 'ready' });
  await new Promise((resolve) => server.close(resolve));
  await manager.client.call('kill', { name: 'web' });
  await manager.client.call('set', { name: 'db', changes: [{ key: 'autostart.timeout', value: '300ms' }] });
  const rows = told(await boot(manager));
  assert.equal(rows['db'], `not-ready: 127.0.0.1:${port} accepted no connection (ECONNREFUSED) within 0.3 s`);
  assert.equal(rows['web'], `skipped: it comes after db, which is not ready: ${rows['db']?.slice(11)}`);
});

test('ready: delay counts from the start of a machine that runs already', async (context) => {
  const manager = await startManager(context);
  await machines(manager, { db: 'ready: delay\nsettle: 700ms' });
  const begun = performance.now();
  await boot(manager);
  assert.ok(performance.now() - begun >= 700);
  const again = performance.now();
  await boot(manager);
  assert.ok(performance.now() - again < 650, 'it has been running for long enough');
});

test('ready: guest-agent waits for an answer through floods and silence', async (context) => {
  const manager = await startManager(context);
  const path = `${manager.root}/agent`;
  mkdirSync(path);
  manager.broker.agentSocket = `${path}/db`;
  await machines(manager, { db: 'ready: guest-agent\ntimeout: 60s' });
  let visits = 0;
  const server = createServer((socket) => {
    visits += 1;
    socket.on('error', () => undefined);
    if (visits === 1) return void socket.end(Buffer.alloc(1024 * 1024, 'x'));
    socket.on('data', (piece) => {
      const id = /"id":(\d+)/.exec(piece.toString('latin1'))?.[1];
      socket.write(
        id === undefined ? '{"return": {}}\n' : Buffer.from(`\u00ff{"return": ${id}}\n`, 'latin1'),
      );
    });
  });
  const booting = boot(manager);
  await until(async () => (await stateOf(manager, 'db')).state === 'started');
  server.listen(manager.broker.agentSocket);
  context.after(() => server.close());
  assert.deepEqual(told(await booting), { db: 'ready' });
  assert.equal(visits, 2);
});

test('a machine that ends while it is waited for is not ready', async (context) => {
  const manager = await startManager(context);
  await machines(manager, { db: 'ready: delay\nsettle: 60s', web: 'after: [db]' });
  const booting = boot(manager);
  await until(async () => (await stateOf(manager, 'db')).state === 'started');
  manager.broker.qemu('db').process.kill('SIGSEGV');
  const rows = told(await booting);
  assert.match(rows['db'] ?? '', /^not-ready: it is crashed: /);
  assert.match(rows['web'] ?? '', /^skipped: it comes after db, which is not ready: it is crashed: /);
});

test('a second call joins the boot that is under way', async (context) => {
  const manager = await startManager(context);
  await machines(manager, { db: 'ready: delay\nsettle: 500ms' });
  const [one, two] = await Promise.all([boot(manager), boot(manager)]);
  assert.deepEqual(one, two);
  const begun = manager.manager.events.recent(100).filter(({ event }) => event === 'host.boot-begun');
  assert.equal(begun.length, 1);
});

test('disabling is told to the broker, and list shows what starts with the host', async (context) => {
  const manager = await startManager(context);
  await machines(manager, { db: '', web: '' });
  await manager.client.call('autostart');
  const listed = async (): Promise<string[]> => {
    const reply = await manager.client.call('list');
    assert.ok(reply.ok);
    return reply.result.filter(({ autostart }) => autostart).map(({ name }) => name);
  };
  assert.deepEqual(await listed(), ['db', 'web']);
  const off = async (name: string) => {
    const reply = await manager.client.call('autostartOff', { name });
    assert.ok(reply.ok);
    return reply.result.outcome;
  };
  assert.equal(await off('db'), 'disabled');
  assert.equal(await off('db'), 'was not enabled');
  assert.deepEqual(await listed(), ['web']);
  await manager.client.call('rename', { name: 'web', to: 'www' });
  assert.deepEqual(await listed(), ['www']);
});

test('a register that cannot be read, and a broker that does not answer, are told', async (context) => {
  const manager = await startManager(context);
  await machines(manager, { db: '' });
  manager.broker.unreachable = true;
  const gone = await manager.client.call('hostBoot', {});
  assert.equal(gone.ok ? '' : gone.faults[0]?.code, 'broker-unreachable');
  manager.broker.unreachable = false;
  manager.broker.damaged = [{ path: '/x/autostart.json', reason: 'it cannot be read', cure: 'rm it' }];
  const damaged = await manager.client.call('hostBoot', {});
  assert.equal(damaged.ok ? '' : damaged.faults[0]?.code, 'state-unwritable');
});

test('a manager that ends in the middle leaves the rest to the next one', async (context) => {
  const manager = await startManager(context);
  await machines(manager, { db: 'ready: delay\nsettle: 1s', web: 'after: [db]' });
  const cut = manager.client.call('hostBoot', {}).catch(() => undefined);
  await until(async () => (await stateOf(manager, 'db')).state === 'started');
  const next = await manager.restart();
  await cut;
  const rows = await boot(next);
  assert.deepEqual(
    rows.map(({ name, state, ran }) => [name, state, ran]),
    [
      ['db', 'ready', true],
      ['web', 'ready', false],
    ],
  );
});

test('a host that goes down starts nothing more, and ends a boot that is under way', async (context) => {
  const manager = await startManager(context);
  await machines(manager, { db: 'ready: delay\nsettle: 60s', web: 'after: [db]', late: 'delay: 60s' });
  const booting = boot(manager);
  await until(async () => (await stateOf(manager, 'db')).state === 'started');
  manager.manager.phase.goDown();
  assert.deepEqual(told(await booting), {
    db: 'not-ready: the host went down meanwhile',
    web: 'skipped: it comes after db, which is not ready: the host went down meanwhile',
    late: 'skipped: the host goes down',
  });
  const refused = await manager.client.call('start', { name: 'web' });
  assert.equal(refused.ok ? '' : refused.faults[0]?.code, 'host-going-down');
  const running = await manager.client.call('start', { name: 'db' });
  assert.ok(running.ok, 'what runs already is no start');
  await manager.client.call('set', { name: 'db', changes: [{ key: 'autostart.ready', value: 'qmp' }] });
  await manager.client.call('set', { name: 'late', changes: [{ key: 'autostart.delay', value: '0s' }] });
  assert.deepEqual(
    told(await boot(manager)),
    { db: 'ready', web: 'ready', late: 'ready' },
    'it stays up after all',
  );
});

test('what was enabled for a machine that is gone is not enabled for the next one of its name', async (context) => {
  const manager = await startManager(context);
  manager.broker.autostart = [{ machine: 'web', by: 0, at: '2026-01-01T00:00:00.000Z' }];
  // As who enabled it would see it: enabling and removing at once leave such an entry.
  assert.ok((await manager.client.call('autostart')).ok);
  const reply = await manager.client.call('define', { source: definition('web') });
  assert.ok(reply.ok, JSON.stringify(reply));
  assert.match(reply.result.notes.join(), /until an administrator enables it/);
  assert.deepEqual(manager.broker.autostart, []);
  assert.deepEqual(told(await boot(manager)), {});
  // A change of a machine that is there takes nothing from it.
  manager.broker.autostart = [{ machine: 'web', by: 0, at: '2026-01-02T00:00:00.000Z' }];
  assert.ok((await manager.client.call('autostart')).ok);
  const set = await manager.client.call('set', {
    name: 'web',
    changes: [{ key: 'description', value: 'other' }],
  });
  assert.ok(set.ok, JSON.stringify(set));
  assert.equal(manager.broker.autostart.length, 1);
});
