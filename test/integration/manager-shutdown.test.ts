/** The host goes down: what becomes of machines, in which order, and what may not begin any more. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import type { CallResult } from '../../src/api/calls.ts';
import { definition, startManager, type TestManager } from '../support/test-manager.ts';

type Report = CallResult<'hostShutdown'>;

async function withMachines(
  context: TestContext,
  machines: Readonly<Record<string, string>>,
): Promise<TestManager> {
  const manager = await startManager(context);
  for (const [name, more] of Object.entries(machines)) {
    assert.ok((await manager.client.call('define', { source: definition(name, more) })).ok, name);
    assert.ok((await manager.client.call('start', { name })).ok, name);
  }
  return manager;
}

async function shutDown({ client }: TestManager): Promise<Report> {
  const reply = await client.call('hostShutdown', {});
  assert.ok(reply.ok, JSON.stringify(reply));
  return reply.result;
}

const outcomes = ({ machines }: Report): Record<string, string> =>
  Object.fromEntries(machines.map(({ name, outcome }) => [name, outcome]));

/** Names of machines in the order in which an event came for them. */
function namesOf(manager: TestManager, wanted: string): string[] {
  return manager.manager.events
    .recent(1000)
    .flatMap(({ event, machine }) => (event === wanted && machine !== null ? [machine] : []));
}

test('machines end in reverse order, each told as it ends, and nothing starts any more', async (context) => {
  const manager = await withMachines(context, {
    db: '',
    app: 'autostart: { after: [db] }\n',
    web: 'autostart: { after: [app] }\n',
    alone: '',
  });
  const report = await shutDown(manager);
  assert.equal(report.ok, true);
  assert.deepEqual(
    new Set(report.machines.map(({ outcome, ended }) => `${outcome} ${ended}`)),
    new Set(['shut down true']),
  );
  const told = namesOf(manager, 'machine.host-shutdown').filter((name) => name !== 'alone');
  assert.deepEqual(told, ['web', 'app', 'db']);
  assert.equal(manager.broker.machines.size, 0);
  const reply = await manager.client.call('start', { name: 'web' });
  assert.ok(!reply.ok);
  assert.equal(reply.faults[0]?.code, 'host-going-down');
  assert.deepEqual(await shutDown(manager), { ok: true, machines: [] });
  // A new manager knows of no shutdown.
  const next = await manager.restart();
  assert.ok((await next.client.call('start', { name: 'web' })).ok);
});

test('a guest that ignores the button costs its own limit only, and what comes before it waits for its end', async (context) => {
  const manager = await withMachines(context, {
    base: 'stop: { timeout: 10s }\n',
    deaf: 'stop: { timeout: 400ms }\nautostart: { after: [base] }\n',
    quick: 'stop: { timeout: 400ms }\n',
  });
  const deaf = manager.broker.qemu('deaf');
  Reflect.set(manager.broker, 'powerdown', 'ignore');
  const obey = (name: string): void => {
    const qemu = manager.broker.qemu(name);
    const timer = setInterval(() => {
      if (!qemu.monitor.commandNames().includes('system_powerdown')) return;
      clearInterval(timer);
      qemu.powerOff();
    }, 5);
  };
  obey('base');
  obey('quick');
  const report = await shutDown(manager);
  assert.deepEqual(outcomes(report), { base: 'shut down', deaf: 'killed after 0.4s', quick: 'shut down' });
  assert.ok(deaf.monitor.commandNames().includes('system_powerdown'));
  const told = namesOf(manager, 'machine.host-shutdown');
  assert.ok(told.indexOf('quick') < told.indexOf('deaf') && told.indexOf('deaf') < told.indexOf('base'));
});

test('kill, leave, and a machine that is not defined', async (context) => {
  const first = await withMachines(context, {
    killed: 'onHostShutdown: kill\n',
    left: 'onHostShutdown: leave\n',
  });
  const button = first.broker.qemu('killed').monitor;
  const report = await shutDown(first);
  assert.deepEqual(outcomes(report), { killed: 'killed', left: 'left running' });
  assert.equal(report.ok, true);
  assert.ok(!button.commandNames().includes('system_powerdown'));
  assert.deepEqual([...first.broker.machines.keys()], ['left']);
});

test('a start under way is ended, a stop with a longer limit is cut to the own one, a restart does not come', async (context) => {
  const manager = await withMachines(context, {
    slow: 'stop: { timeout: 300ms }\n',
    crasher: 'onCrash: restart\nrestart: { delay: 1h, maxDelay: 1h }\n',
  });
  const { broker, client } = manager;
  broker.powerdown = 'ignore';
  assert.ok((await client.call('define', { source: definition('late') })).ok);
  broker.qemu('crasher').process.kill('SIGKILL');
  const waitUntil = async (isSo: () => boolean): Promise<void> => {
    const giveUpAt = performance.now() + 10_000;
    for (; !isSo(); await delay(5)) assert.ok(performance.now() < giveUpAt);
  };
  await waitUntil(() => manager.manager.machines.get('crasher')?.life.after.restarts.pending !== null);
  const longStop = client.call('stop', { name: 'slow', timeoutMs: 3_600_000 });
  await waitUntil(() => manager.manager.machines.get('slow')?.state === 'stopping');
  const gate = Promise.withResolvers<void>();
  broker.gate = gate.promise;
  const starting = client.call('start', { name: 'late' });
  await waitUntil(() => manager.manager.machines.get('late')?.state === 'starting');
  const ending = shutDown(manager);
  const joined = shutDown(manager);
  setTimeout(() => gate.resolve(), 50);
  assert.equal((await starting).ok, false);
  const report = await ending;
  assert.deepEqual(outcomes(report), {
    slow: 'killed after 0.3s',
    crasher: 'restart cancelled',
    late: 'start ended',
  });
  assert.deepEqual(await joined, report);
  assert.ok((await longStop).ok);
  assert.equal(broker.machines.size, 0);
});

test('without the broker nobody is told that all have ended', async (context) => {
  const manager = await withMachines(context, { one: '' });
  manager.broker.unreachable = true;
  const reply = await manager.client.call('hostShutdown', {});
  assert.ok(!reply.ok);
  assert.equal(reply.faults[0]?.code, 'broker-unreachable');
  manager.broker.unreachable = false;
  assert.equal((await shutDown(manager)).ok, true);
  assert.equal(manager.broker.machines.size, 0);
});
