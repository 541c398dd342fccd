import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { WebSocket } from 'ws';
import type { MachineState } from '../../src/api/contract.ts';
import { definition, startManager, type TestManager } from '../support/test-manager.ts';

async function withMachine(context: TestContext, more = ''): Promise<TestManager> {
  const manager = await startManager(context);
  const reply = await manager.client.call('define', { source: definition('web', more) });
  assert.ok(reply.ok, JSON.stringify(reply));
  return manager;
}

async function reached({ client }: TestManager, ...states: MachineState[]): Promise<void> {
  const reply = await client.call('wait', { name: 'web', states, timeoutMs: 10_000 });
  assert.ok(reply.ok, JSON.stringify(reply));
}

const outcome = (reply: { readonly ok: boolean }): unknown =>
  'result' in reply ? Reflect.get(reply.result as object, 'outcome') : JSON.stringify(reply);
const code = (reply: { readonly ok: boolean }): unknown =>
  'faults' in reply ? (reply.faults as { code: string }[])[0]?.code : JSON.stringify(reply);

async function lastEnd({ client }: TestManager) {
  const reply = await client.call('status', { name: 'web' });
  assert.ok(reply.ok);
  return { state: reply.result.state, ...reply.result.lastEnd };
}

test('a start audits before the guest runs, lets it run, and then closes the descriptor sets', async (context) => {
  const test = await withMachine(context);
  const { client, broker } = test;
  assert.equal(outcome(await client.call('start', { name: 'web' })), 'started');
  const names = broker.calls.filter((call) => ['probe', 'launch', 'inspect'].includes(call));
  assert.deepEqual(names, ['launch', 'inspect']);
  assert.equal(broker.qemu('web').monitor.commandNames()[0], 'cont');
  const status = await client.call('status', { name: 'web' });
  assert.ok(status.ok);
  assert.equal(status.result.state, 'running');
  assert.equal(status.result.pid, broker.qemu('web').launched.pid);
  assert.equal(status.result.cgroup, '/qward/web');
  assert.equal(status.result.audit?.ok, true);
});

test('start of a running and stop of a stopped machine succeed', async (context) => {
  const { client } = await withMachine(context);
  assert.equal(outcome(await client.call('stop', { name: 'web' })), 'already stopped');
  await client.call('start', { name: 'web' });
  assert.equal(outcome(await client.call('start', { name: 'web' })), 'already running');
});

test('two starts at the same instant launch once, and both succeed', async (context) => {
  const { client, broker } = await withMachine(context);
  const replies = await Promise.all([
    client.call('start', { name: 'web' }),
    client.call('start', { name: 'web' }),
  ]);
  assert.deepEqual(replies.map(outcome), ['started', 'started']);
  assert.equal(broker.calls.filter((call) => call === 'launch').length, 1);
});

test('a paused start leaves the guest before its first instruction', async (context) => {
  const test = await withMachine(context);
  await test.client.call('start', { name: 'web', paused: true });
  assert.equal(test.manager.machines.get('web')?.state, 'paused');
  assert.equal(test.broker.qemu('web').monitor.running, false);
  assert.equal(outcome(await test.client.call('resume', { name: 'web' })), 'resumed');
  assert.equal(test.broker.qemu('web').monitor.running, true);
});

test('stop presses the power button; the guest shuts down and is reaped', async (context) => {
  const test = await withMachine(context);
  await test.client.call('start', { name: 'web' });
  assert.equal(outcome(await test.client.call('stop', { name: 'web' })), 'shut down');
  assert.deepEqual([...test.broker.machines.keys()], []);
  const end = await lastEnd(test);
  assert.deepEqual([end.state, end.how], ['stopped', 'shut down']);
});

test('a guest that ignores the button is killed after the time limit, and the outcome says so', async (context) => {
  const test = await withMachine(context, 'stop: { timeout: 50ms }\n');
  test.broker.powerdown = 'ignore';
  await test.client.call('start', { name: 'web' });
  assert.equal(outcome(await test.client.call('stop', { name: 'web' })), 'killed after 0.05s');
  const end = await lastEnd(test);
  assert.deepEqual([end.state, end.how], ['stopped', 'killed']);
});

test('a paused guest is let go on so that it can shut down', async (context) => {
  const test = await withMachine(context);
  await test.client.call('start', { name: 'web' });
  await test.client.call('pause', { name: 'web' });
  const { monitor } = test.broker.qemu('web');
  await test.client.call('stop', { name: 'web' });
  assert.deepEqual(monitor.commandNames().slice(-3), ['query-status', 'cont', 'system_powerdown']);
});

test('kill ends a stop that is under way', async (context) => {
  const test = await withMachine(context);
  test.broker.powerdown = 'ignore';
  await test.client.call('start', { name: 'web' });
  const stopping = test.client.call('stop', { name: 'web' });
  await reached(test, 'stopping');
  assert.equal(outcome(await test.client.call('kill', { name: 'web' })), 'killed');
  assert.equal(outcome(await stopping), 'killed');
  assert.equal(test.manager.machines.get('web')?.state, 'stopped');
});

for (const call of ['stop', 'kill'] as const)
  test(`a ${call} during a start ends the start, and nothing is left`, async (context) => {
    const test = await withMachine(context);
    const gate = Promise.withResolvers<void>();
    test.broker.gate = gate.promise;
    const starting = test.client.call('start', { name: 'web' });
    await reached(test, 'starting');
    const ending = test.client.call(call, { name: 'web' });
    await new Promise((resolve) => setImmediate(resolve));
    gate.resolve();
    assert.equal(code(await starting), 'machine-busy');
    assert.equal(outcome(await ending), call === 'stop' ? 'start ended' : 'killed');
    assert.equal(test.manager.machines.get('web')?.state, 'stopped');
    assert.deepEqual([...test.broker.machines.keys()], []);
    test.broker.gate = Promise.resolve();
    assert.equal(outcome(await test.client.call('start', { name: 'web' })), 'started');
  });

test('a machine whose audit fails never runs, and is gone', async (context) => {
  const test = await withMachine(context);
  test.audit.ok = false;
  const reply = await test.client.call('start', { name: 'web' });
  assert.equal(code(reply), 'audit-failed');
  assert.deepEqual([...test.broker.machines.keys()], []);
  const end = await lastEnd(test);
  assert.deepEqual([end.state, end.how], ['failed', 'start failed']);
});

test('a QEMU that refuses its arguments fails the start with its own words', async (context) => {
  const test = await withMachine(context);
  test.broker.failWith = ['qemu-system-x86_64: unsupported machine type', 'Use -machine help\u001b[31m'];
  const reply = await test.client.call('start', { name: 'web' });
  assert.equal(code(reply), 'qemu-refused');
  assert.match(JSON.stringify(reply), /unsupported machine type/);
  const end = await lastEnd(test);
  assert.deepEqual(end.log, ['qemu-system-x86_64: unsupported machine type', 'Use -machine help\\x1b[31m']);
  assert.deepEqual([...test.broker.machines.keys()], []);
});

test('refusals of the broker are the outcome of the start', async (context) => {
  const test = await withMachine(context);
  test.broker.launchRefusal = {
    code: 'policy-refused',
    message: 'bridge "br0" is not listed',
    hint: 'list it',
  };
  const reply = await test.client.call('start', { name: 'web' });
  assert.equal(code(reply), 'policy-refused');
});

test('a QEMU that is killed from outside is crashed, with signal and last words', async (context) => {
  const test = await withMachine(context);
  await test.client.call('start', { name: 'web' });
  const qemu = test.broker.qemu('web');
  qemu.say('something went wrong');
  qemu.process.kill('SIGKILL');
  await reached(test, 'crashed');
  const end = await lastEnd(test);
  assert.deepEqual([end.state, end.how, end.log], ['crashed', 'crashed', ['something went wrong']]);
  assert.ok(end.signal === 'SIGKILL' || end.signal === null);
  assert.deepEqual([...test.broker.machines.keys()], [], 'it was reaped');
  assert.equal(outcome(await test.client.call('start', { name: 'web' })), 'started');
});

test('a guest that powers off by itself is stopped', async (context) => {
  const test = await withMachine(context);
  await test.client.call('start', { name: 'web' });
  test.broker.qemu('web').powerOff();
  await reached(test, 'stopped');
  assert.equal((await lastEnd(test)).how, 'shut down');
});

test('a monitor that is closed while QEMU lives is reached again', async (context) => {
  const test = await withMachine(context);
  await test.client.call('start', { name: 'web' });
  test.broker.qemu('web').monitor.hangUp();
  await reached(test, 'unreachable');
  await reached(test, 'running');
});

test('reset and events of the guest are told, in order, to those who listen', async (context) => {
  const test = await withMachine(context);
  const stream = await test.client.events();
  assert.ok(stream.ok);
  const events: string[] = [];
  await test.client.call('start', { name: 'web' });
  await test.client.call('reset', { name: 'web' });
  await test.client.call('kill', { name: 'web' });
  for await (const { event, machine } of stream.result) {
    assert.equal(machine, 'web');
    events.push(event);
    if (event === 'machine.stopped') break;
  }
  const wanted = ['machine.started', 'guest.reset', 'machine.stopped'];
  assert.deepEqual(
    events.filter((event) => wanted.includes(event)),
    wanted,
  );
});

test('who listens later can have the last events first', async (context) => {
  const { client, paths } = await withMachine(context);
  await client.call('start', { name: 'web' });
  const socket = new WebSocket(`ws+unix://${paths.apiSocket}:/v1/events?recent=1000`);
  const [frame] = (await once(socket, 'message')) as [Buffer];
  socket.close();
  assert.equal((JSON.parse(frame.toString()) as { event: string }).event, 'machine.defined');
});

test('the log has what qward did and what QEMU said, after the end as well', async (context) => {
  const test = await withMachine(context);
  await test.client.call('start', { name: 'web' });
  test.broker.qemu('web').say('a warning of QEMU');
  await test.client.call('kill', { name: 'web' });
  const reply = await test.client.call('logs', { name: 'web' });
  assert.ok(reply.ok);
  const lines = reply.result.lines.map(({ from, text }) => `${from}: ${text}`);
  assert.ok(lines.includes('qemu: a warning of QEMU'), lines.join('\n'));
  assert.ok(lines.some((line) => line.startsWith('qward: started as pid')));
});

test('a QMP command goes through, and an error of QEMU comes back as one', async (context) => {
  const test = await withMachine(context);
  assert.equal(code(await test.client.call('qmp', { name: 'web', execute: 'stop' })), 'machine-not-running');
  await test.client.call('start', { name: 'web' });
  const good = await test.client.call('qmp', { name: 'web', execute: 'query-status' });
  assert.ok(good.ok);
  assert.deepEqual(good.result.return, { status: 'running', running: true });
  assert.equal(code(await test.client.call('qmp', { name: 'web', execute: 'wrong' })), 'monitor-failed');
  const human = await test.client.call('monitor', { name: 'web', command: 'info status' });
  assert.ok(human.ok && human.result.output.includes('VM status'));
});

test('a new manager takes over what runs, with its console, and the old one left it alone', async (context) => {
  const first = await withMachine(context);
  await first.client.call('start', { name: 'web' });
  first.broker.qemu('web').print('before ');
  const second = await first.restart();
  const machine = second.manager.machines.get('web');
  assert.equal(machine?.state, 'running');
  assert.equal(machine?.run?.launched.pid, second.broker.qemu('web').launched.pid);
  second.broker.qemu('web').print('after');
  const stream = await second.client.console({ name: 'web', mode: 'watch' });
  assert.ok(stream.ok);
  let shown = '';
  for await (const message of stream.result) {
    if (message.kind === 'output') shown += Buffer.from(message.bytes).toString();
    if (shown.includes('after')) break;
  }
  assert.equal(shown, 'before after');
});

test('a QEMU that died while no manager ran is found, recorded and reaped', async (context) => {
  const first = await withMachine(context);
  await first.client.call('start', { name: 'web' });
  const { process } = first.broker.qemu('web');
  const second = await first.restart();
  const third = await (async () => {
    const exited = once(process, 'exit');
    const next = second.restart();
    process.kill('SIGKILL');
    await exited;
    return await next;
  })();
  await reached(third, 'stopped', 'crashed');
  assert.ok(['not known', 'crashed'].includes((await lastEnd(third)).how ?? ''));
  assert.deepEqual([...third.broker.machines.keys()], []);
});

test('a machine that runs and is not defined is shown, can be killed, and is then forgotten', async (context) => {
  const first = await withMachine(context);
  await first.client.call('start', { name: 'web' });
  const { rmSync } = await import('node:fs');
  rmSync(`${first.paths.managerState}/machines/web.yaml`);
  const second = await first.restart();
  const status = await second.client.call('status', { name: 'web' });
  assert.ok(status.ok);
  assert.equal(status.result.state, 'running');
  assert.equal(code(await second.client.call('explain', { name: 'web' })), 'machine-unknown');
  assert.equal(outcome(await second.client.call('kill', { name: 'web' })), 'killed');
  assert.equal(code(await second.client.call('status', { name: 'web' })), 'machine-unknown');
});

test('while the broker is away nothing is lost, and a start says what is wrong', async (context) => {
  const test = await withMachine(context);
  test.broker.unreachable = true;
  assert.equal(code(await test.client.call('start', { name: 'web' })), 'broker-unreachable');
  test.broker.unreachable = false;
  assert.equal(outcome(await test.client.call('start', { name: 'web' })), 'started');
});
