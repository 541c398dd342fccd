/** What follows the end of a machine: hooks, and restarts by itself. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import type { CallResult } from '../../src/api/calls.ts';
import { definition, startManager, type TestManager } from '../support/test-manager.ts';

async function withMachine(context: TestContext, more: string): Promise<TestManager> {
  const manager = await startManager(context);
  mkdirSync(`${manager.root}/etc`, { recursive: true });
  const hooks = ['prepare', 'tidy'].map((name) => ({ name, path: `/usr/local/${name}` }));
  writeFileSync(manager.paths.policy, JSON.stringify({ hooks }), { mode: 0o644 });
  const reply = await manager.client.call('define', { source: definition('web', more) });
  assert.ok(reply.ok, JSON.stringify(reply));
  return manager;
}

async function statusOf({ client }: TestManager): Promise<CallResult<'status'>> {
  const reply = await client.call('status', { name: 'web' });
  assert.ok(reply.ok, JSON.stringify(reply));
  return reply.result;
}

async function until(
  manager: TestManager,
  what: string,
  isSo: (status: CallResult<'status'>) => boolean,
): Promise<CallResult<'status'>> {
  const giveUpAt = performance.now() + 20_000;
  for (;;) {
    const status = await statusOf(manager);
    if (isSo(status)) return status;
    assert.ok(performance.now() < giveUpAt, `not ${what}: ${JSON.stringify(status)}`);
    await delay(10);
  }
}

async function logOf({ client }: TestManager): Promise<string[]> {
  const reply = await client.call('logs', { name: 'web', lines: 1000 });
  assert.ok(reply.ok);
  return reply.result.lines.map(({ from, text }) => `${from}: ${text}`);
}

const launches = ({ broker }: TestManager): number => broker.calls.filter((call) => call === 'launch').length;

async function start({ client }: TestManager): Promise<void> {
  const reply = await client.call('start', { name: 'web' });
  assert.ok(reply.ok, JSON.stringify(reply));
}

const outcome = (reply: { readonly ok: boolean }): unknown =>
  'result' in reply ? Reflect.get(reply.result as object, 'outcome') : JSON.stringify(reply);

/** SIGKILL to QEMU, and waits until its end was seen. */
async function crash(manager: TestManager): Promise<void> {
  const { pid } = await until(manager, 'running', ({ state }) => state === 'running');
  manager.broker.qemu('web').process.kill('SIGKILL');
  await until(manager, 'ended', (status) => status.pid !== pid);
}

const soon = 'restart: { delay: 20ms, maxDelay: 50ms, attempts: 3, within: 1h }\n';
const late = 'restart: { delay: 1h, maxDelay: 1h, attempts: 3, within: 1h }\n';

test('a machine that crashes is started again until its ceiling, and then left as it is', async (context) => {
  const manager = await withMachine(context, `onCrash: restart\n${soon}`);
  await start(manager);
  for (let life = 1; life <= 4; life += 1) await crash(manager);
  const given = await until(manager, 'given up', ({ notRestarted }) => notRestarted !== null);
  assert.equal(given.state, 'crashed');
  assert.equal(given.restart, null);
  assert.match(given.notRestarted ?? '', /^restarted 3 times within 3600 s; not restarted any more$/);
  assert.equal(launches(manager), 4);
  const log = await logOf(manager);
  for (const line of [
    'qward: restarts in 0.02 s, 1 of 3',
    'qward: start asked for by qward, restart 1 of 3',
    'qward: restarts in 0.05 s, 3 of 3',
  ])
    assert.ok(log.includes(line), log.join('\n'));

  // Who starts it by hand has seen to it: the count begins anew.
  await start(manager);
  assert.equal((await statusOf(manager)).notRestarted, null);
  await crash(manager);
  await until(manager, 'running again', ({ state }) => state === 'running');
});

test('the count and the wait outlive the manager', async (context) => {
  const first = await withMachine(context, `onCrash: restart\n${soon}`);
  await start(first);
  await crash(first);
  await crash(first);
  await until(first, 'running', ({ state }) => state === 'running');
  const second = await first.restart();
  await crash(second);
  await crash(second);
  await until(second, 'given up', ({ notRestarted }) => notRestarted !== null);
  assert.equal(launches(second), 4);
  const third = await second.restart();
  assert.match((await statusOf(third)).notRestarted ?? '', /restarted 3 times/);

  // A restart that is waited for is waited for by the next manager too, and cancelled there.
  const changes = ['restart.maxDelay', 'restart.delay'].map((key) => ({ key, value: '1h' }));
  assert.ok((await third.client.call('set', { name: 'web', changes })).ok);
  await start(third);
  await crash(third);
  const waiting = await statusOf(third);
  assert.equal(waiting.restart?.attempt, 1);
  const fourth = await third.restart();
  assert.deepEqual((await statusOf(fourth)).restart, waiting.restart);
  assert.equal((await statusOf(fourth)).state, 'crashed');
  assert.equal(outcome(await fourth.client.call('stop', { name: 'web' })), 'restart cancelled');
  const fifth = await fourth.restart();
  assert.equal((await statusOf(fifth)).restart, null);
});

test('a crash that happened while no manager ran is restarted, where the kernel tells that it was one', async (context) => {
  const first = await withMachine(context, `onCrash: restart\n${soon}`);
  await start(first);
  const { process } = first.broker.qemu('web');
  const second = await first.restart(() => process.kill('SIGKILL'));
  const end = await until(second, 'ended', ({ lastEnd }) => lastEnd !== null);
  // Linux 6.15 and later tells how another's child ended.
  if (end.lastEnd?.how === 'crashed')
    await until(second, 'running again', ({ state }) => state === 'running');
  else {
    assert.equal(end.lastEnd?.how, 'not known');
    await delay(200);
    assert.equal(launches(second), 1);
  }
});

test('what a user ends, and what ends otherwise, is not restarted', async (context) => {
  const manager = await withMachine(context, `onCrash: restart\nonPowerOff: restart\n${soon}`);
  for (const call of ['stop', 'kill'] as const) {
    await start(manager);
    assert.ok((await manager.client.call(call, { name: 'web' })).ok);
    assert.equal((await statusOf(manager)).restart, null);
  }
  // A reboot that ends the machine, and a QEMU that was told to quit.
  for (const reason of ['guest-reset', 'host-signal', 'host-qmp-quit']) {
    await start(manager);
    const qemu = manager.broker.qemu('web');
    qemu.monitor.emit('SHUTDOWN', { guest: reason.startsWith('guest'), reason });
    qemu.process.stdin?.end();
    await until(manager, 'stopped', ({ state }) => state === 'stopped');
  }
  await delay(200);
  assert.equal(launches(manager), 5);
  await start(manager);
  manager.broker.qemu('web').powerOff();
  await until(manager, 'started again', ({ state }) => state === 'running' && launches(manager) === 7);
  const panicked = manager.broker.qemu('web');
  panicked.monitor.emit('SHUTDOWN', { guest: true, reason: 'guest-panic' });
  panicked.process.stdin?.end();
  await until(manager, 'started again', ({ state }) => state === 'running' && launches(manager) === 8);
  assert.match((await statusOf(manager)).lastEnd?.message ?? '', /kernel panicked/);
});

test('stop, kill, rm, rename and a change of the definition cancel a restart that is waited for', async (context) => {
  const manager = await withMachine(context, `onCrash: restart\n${late}`);
  const { client } = manager;
  const crashed = async (): Promise<void> => {
    await start(manager);
    await crash(manager);
    const { restart, state } = await until(manager, 'planned', (status) => status.restart !== null);
    assert.deepEqual([state, restart?.attempt, restart?.of], ['crashed', 1, 3]);
  };
  for (const call of ['stop', 'kill'] as const) {
    await crashed();
    assert.equal(outcome(await client.call(call, { name: 'web' })), 'restart cancelled');
    assert.equal((await statusOf(manager)).restart, null);
    assert.equal(outcome(await client.call('stop', { name: 'web' })), 'already stopped');
  }
  await crashed();
  assert.ok((await client.call('rename', { name: 'web', to: 'shop' })).ok);
  const renamed = await client.call('status', { name: 'shop' });
  assert.ok(renamed.ok && renamed.result.restart === null);
  assert.ok((await client.call('rename', { name: 'shop', to: 'web' })).ok);
  await crashed();
  assert.ok((await client.call('remove', { name: 'web' })).ok);
  const log = manager.log.join('');
  assert.ok(!log.includes('"level":"error"'), log);
});

test('a definition that no longer asks for it is heard when the wait is over', async (context) => {
  const manager = await withMachine(context, 'onCrash: restart\nrestart: { delay: 400ms, maxDelay: 1s }\n');
  await start(manager);
  await crash(manager);
  const reply = await manager.client.call('set', {
    name: 'web',
    changes: [{ key: 'onCrash', value: 'stop' }],
  });
  assert.ok(reply.ok, JSON.stringify(reply));
  await until(manager, 'cancelled', ({ restart }) => restart === null);
  assert.equal(launches(manager), 1);
  assert.ok((await logOf(manager)).some((line) => /cancelled by a change of the definition/.test(line)));
});

test('a restart that does not come to run is tried again, and counts', async (context) => {
  const manager = await withMachine(context, `onCrash: restart\n${soon}`);
  await start(manager);
  manager.broker.launchRefusal = { code: 'resources-short', message: 'no memory', hint: 'buy some' };
  await crash(manager);
  const given = await until(manager, 'given up', ({ notRestarted }) => notRestarted !== null);
  assert.equal(given.state, 'failed');
  assert.equal(launches(manager), 4);
});

test('what can be applied at once is applied, and said', async (context) => {
  const manager = await withMachine(context, 'onReboot: stop\nonCrash: pause\n');
  const set = async (key: string, value: string): Promise<unknown> => {
    const reply = await manager.client.call('set', { name: 'web', changes: [{ key, value }] });
    assert.ok(reply.ok, JSON.stringify(reply));
    return [reply.result.applied, reply.result.atNextStart];
  };
  await start(manager);
  assert.deepEqual(await set('onCrash', 'restart'), [['onCrash'], []]);
  assert.deepEqual(await set('onReboot', 'reset'), [['onReboot'], []]);
  assert.deepEqual(await set('onPowerOff', 'restart'), [['onPowerOff'], []]);
  assert.deepEqual(await set('restart.attempts', '2'), [['restart.attempts'], []]);
  const actions = manager.broker
    .qemu('web')
    .monitor.received.filter(({ execute }) => execute === 'set-action');
  assert.deepEqual(
    actions.map((action) => action.arguments),
    [{ panic: 'exit-failure' }, { reboot: 'reset' }],
  );
  await manager.client.call('kill', { name: 'web' });
  await set('onCrash', 'stop');
  await start(manager);
  assert.deepEqual(await set('onCrash', 'restart'), [['onCrash, for crashes of QEMU'], ['onCrash']]);
});

test('reset resets, also where a reboot of the guest ends the machine', async (context) => {
  const manager = await withMachine(context, 'onReboot: stop\n');
  await start(manager);
  assert.ok((await manager.client.call('reset', { name: 'web' })).ok);
  const { monitor } = manager.broker.qemu('web');
  assert.deepEqual(monitor.commandNames().slice(-2), ['set-action', 'system_reset']);
  // SeaBIOS resets once more by itself.
  monitor.emit('RESET', { guest: true, reason: 'guest-reset' });
  await until(manager, 'set again', () => monitor.commandNames().at(-1) === 'set-action');
  const { received } = manager.broker.qemu('web').monitor;
  const said = received.map(({ execute, arguments: words }) => `${execute} ${JSON.stringify(words ?? {})}`);
  assert.deepEqual(said.slice(-3), [
    'set-action {"reboot":"reset"}',
    'system_reset {}',
    'set-action {"reboot":"shutdown"}',
  ]);
});

test('hooks run around each life, with what they write in the log; a stop hook comes before the next start hook', async (context) => {
  const manager = await withMachine(
    context,
    `onCrash: restart\n${soon}hooks: { start: prepare, stop: tidy }\n`,
  );
  const runs: string[] = [];
  manager.broker.hook = (argv) => {
    runs.push(`${argv.join(' ')} (${manager.broker.machines.has('web') ? 'runs' : 'does not run'})`);
    return Promise.resolve({ lines: [`${argv[0]} hook speaks`], status: 0 });
  };
  await start(manager);
  await crash(manager);
  await until(manager, 'started again', ({ state }) => state === 'running' && runs.length === 3);
  assert.equal(outcome(await manager.client.call('stop', { name: 'web' })), 'shut down');
  assert.deepEqual(
    runs,
    ['start web', 'stop web', 'start web', 'stop web'].map((run) => `${run} (does not run)`),
  );
  const log = await logOf(manager);
  assert.ok(
    log.includes('hook: start hook speaks') && log.includes('hook: stop hook speaks'),
    log.join('\n'),
  );
});

test('a start hook that fails refuses the start with its last words, and the stop hook follows', async (context) => {
  const manager = await withMachine(context, 'hooks: { start: prepare, stop: tidy }\n');
  const runs: string[] = [];
  manager.broker.hook = (argv) => {
    runs.push(argv[0] ?? '');
    return Promise.resolve({ lines: ['volume is locked'], status: argv[0] === 'start' ? 3 : 1 });
  };
  const reply = await manager.client.call('start', { name: 'web' });
  assert.ok(!reply.ok);
  assert.match(reply.faults[0]?.message ?? '', /hook "prepare".*ended with status 3: volume is locked/);
  const status = await statusOf(manager);
  assert.deepEqual([status.state, status.lastEnd?.how], ['failed', 'start failed']);
  assert.deepEqual(runs, ['start', 'stop']);
  assert.equal(manager.broker.machines.size, 0);
  // A stop hook that fails is told, and keeps nothing up.
  assert.ok((await logOf(manager)).some((line) => /^qward: hook "tidy".*status 1/.test(line)));
  manager.broker.hook = () => Promise.resolve({ lines: [], status: 0 });
  await start(manager);
});

test('a stop hook that takes long holds up nobody else, and the next start of its machine waits for it', async (context) => {
  const manager = await withMachine(context, 'hooks: { stop: tidy }\n');
  const gate = Promise.withResolvers<void>();
  const order: string[] = [];
  manager.broker.hook = async () => {
    order.push('hook begins');
    await gate.promise;
    order.push('hook ends');
    return { lines: [], status: 0 };
  };
  assert.ok((await manager.client.call('define', { source: definition('other') })).ok);
  await start(manager);
  const stopping = manager.client.call('stop', { name: 'web' });
  await until(manager, 'at its hook', () => order.length === 1);
  assert.equal((await statusOf(manager)).state, 'stopping');
  assert.ok((await manager.client.call('start', { name: 'other' })).ok);
  assert.ok((await manager.client.call('stop', { name: 'other' })).ok);
  const starting = manager.client.call('start', { name: 'web' }).then(() => order.push('started'));
  gate.resolve();
  assert.equal(outcome(await stopping), 'shut down');
  await starting;
  assert.deepEqual(order, ['hook begins', 'hook ends', 'started']);
});

test('an end that was seen and whose hook did not run any more is followed by it under the next manager', async (context) => {
  const first = await withMachine(context, 'hooks: { stop: tidy }\n');
  const gate = Promise.withResolvers<void>();
  let runs = 0;
  first.broker.hook = async () => {
    runs += 1;
    if (runs === 1) await gate.promise;
    return { lines: [`run ${runs}`], status: 0 };
  };
  await start(first);
  first.broker.qemu('web').powerOff();
  await until(first, 'at its hook', () => runs === 1);
  const second = await first.restart();
  const over = (): number => first.broker.calls.filter((call) => call === 'forget').length;
  await until(second, 'tidied', () => runs === 2 && over() === 1);
  assert.equal(
    (await until(second, 'stopped', ({ state }) => state === 'stopped')).lastEnd?.how,
    'shut down',
  );
  const third = await second.restart();
  await delay(100);
  assert.equal(runs, 2);
  assert.equal((await statusOf(third)).state, 'stopped');
  gate.resolve();
  await until(third, 'cleared away', () => over() === 2);
});
