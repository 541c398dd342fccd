/** Promises 4, 5 and 7: what owners, guests and other hosts tried with the start and the end of machines, and with `qward -H`. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, closeSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { QwardClient } from '../../src/api/client.ts';
import { Mux, MuxFault } from '../../src/cli/remote/mux.ts';
import { parseDefinition } from '../../src/definition/parse.ts';
import { sendDescriptor, socketPair } from '../../src/linux/pass-descriptor.ts';
import type { Machine } from '../../src/manager/lifecycle/machine.ts';
import { limitOf, ownersHaveMs } from '../../src/manager/shutdown/whose-word-counts.ts';
import { openViewer } from '../../src/manager/vnc/serve-viewer.ts';
import { maxViewers, Viewers } from '../../src/manager/vnc/viewers.ts';
import { HandedSockets } from '../../src/manager/handed-sockets.ts';
import type { ExecuteOptions } from '../../src/qmp/session.ts';
import { definition, startManager, type TestManager } from '../support/test-manager.ts';

const stranger = 911_300_001;

async function until(isSo: () => boolean, what: string): Promise<void> {
  const giveUpAt = performance.now() + 20_000;
  for (; !isSo(); await delay(5)) assert.ok(performance.now() < giveUpAt, `not ${what}`);
}

async function start({ client }: TestManager, name: string, more = ''): Promise<void> {
  assert.ok((await client.call('define', { source: definition(name, more) })).ok, name);
  assert.ok((await client.call('start', { name })).ok, name);
}

test('who takes a name that was free again is not told why the machine before did not start with the host', async (context) => {
  const { broker, client } = await startManager(context);
  const enabled = [{ machine: 'web', by: 0, at: new Date().toISOString() }];
  assert.ok((await client.call('define', { source: definition('web') })).ok);
  broker.autostart = enabled;
  broker.launchRefusal = { code: 'file-missing', message: '/home/alice/secret is not there', hint: '' };
  const booted = await client.call('hostBoot', {});
  assert.match(JSON.stringify(booted), /alice/);
  assert.ok((await client.call('remove', { name: 'web' })).ok);
  assert.ok((await client.call('define', { source: definition('web') })).ok);
  broker.autostart = enabled;
  const shown = await client.call('autostart', {});
  assert.ok(shown.ok);
  assert.deepEqual(
    shown.result.machines.map(({ boot }) => boot),
    [{ name: 'web', state: 'not-begun', reason: null, at: null, ran: false }],
  );
});

test("an owner's machine keeps no machine of another owner from shutting down with the host", async (context) => {
  const manager = await startManager(context);
  const { broker, client } = manager;
  await start(manager, 'victim');
  await start(manager, 'holder', 'stop: { timeout: 2s }\nautostart: { after: [victim] }\n');
  const holder = manager.manager.machines.get('holder');
  assert.ok(holder !== undefined && holder.record !== null);
  holder.record = { ...holder.record, metadata: { ...holder.record.metadata, owner: stranger } };
  broker.powerdown = 'ignore';
  const victim = broker.qemu('victim');
  const obey = setInterval(() => {
    if (victim.monitor.commandNames().includes('system_powerdown')) victim.powerOff();
  }, 5);
  context.after(() => clearInterval(obey));
  assert.ok((await client.call('hostShutdown', {})).ok);
  const told = manager.manager.events
    .recent(1000)
    .flatMap(({ event, machine }) => (event === 'machine.host-shutdown' ? [machine] : []));
  assert.deepEqual(told, ['victim', 'holder']);
});

test('however long a stop of theirs may take, owners do not keep the host from going down', () => {
  const day = 86_400_000;
  assert.equal(limitOf(day, true, 1000), day);
  assert.equal(limitOf(day, false, 0), ownersHaveMs);
  assert.equal(limitOf(day, false, ownersHaveMs - 1000), 1000);
  assert.equal(limitOf(day, false, day), 0);
  assert.equal(limitOf(2000, false, 1000), 2000);
});

test('a machine that ends as soon as it runs is given up one day, whatever its definition says', () => {
  const parsed = (restart: string): boolean =>
    parseDefinition(definition('web', `onPowerOff: restart\nrestart: { ${restart} }\n`)).ok;
  assert.ok(parsed('delay: 0s, maxDelay: 0s, attempts: 10, within: 50s'));
  assert.ok(!parsed('delay: 0s, maxDelay: 0s, attempts: 1, within: 1ms'));
  assert.ok(!parsed('delay: 0s, maxDelay: 0s, attempts: 1000, within: 10m'));
});

test('stopping a machine whose start nobody is known to have finished lets no guest run', async (context) => {
  const first = await startManager(context);
  await start(first, 'web', 'stop: { timeout: 300ms }\n');
  const { monitor } = first.broker.qemu('web');
  first.broker.powerdown = 'ignore';
  const note = `${first.root}/state/manager/runs/web.json`;
  const second = await first.restart(() => {
    Object.assign(monitor, { running: false, status: 'prelaunch' });
    writeFileSync(note, JSON.stringify({ ...JSON.parse(readFileSync(note, 'utf8')), version: 2 }));
  });
  await until(() => second.manager.machines.get('web')?.state === 'paused', 'adopted');
  const before = monitor.received.length;
  assert.ok((await second.client.call('hostShutdown', {})).ok);
  const after = monitor.commandNames().slice(before);
  assert.ok(after.includes('query-status'), after.join());
  assert.ok(!after.includes('cont'), after.join());
  assert.equal(second.broker.machines.size, 0);
});

test('a manager that dies while it restarts a machine leaves the restart to the next one', async (context) => {
  const first = await startManager(context);
  await start(first, 'web', 'onCrash: restart\nrestart: { delay: 1h, maxDelay: 1h }\n');
  const { launched, process } = first.broker.qemu('web');
  process.kill('SIGKILL');
  const restarts = (of: TestManager) => of.manager.machines.get('web')?.life.after.restarts;
  await until(() => restarts(first)?.pending?.attempt === 1, 'waiting');
  await until(() => first.manager.machines.get('web')?.run === undefined, 'ended');
  // As far as it came: launched, and neither audited nor noted.
  await first.broker.port.call('launch', { launch: launched.launch });
  first.broker.qemu('web').monitor.status = 'prelaunch';
  const second = await first.restart();
  await until(() => second.broker.machines.size === 0, 'cut off');
  await until(() => second.manager.machines.get('web')?.state === 'failed', 'ended');
  assert.equal(restarts(second)?.pending?.attempt, 1);
  assert.ok((await second.client.call('stop', { name: 'web' })).ok);
  assert.equal(restarts(second)?.pending, null);
});

test('a start while a start that was cut off is being taken over is told no success of that one', async (context) => {
  const first = await startManager(context);
  await start(first, 'web');
  const { launched } = first.broker.qemu('web');
  assert.ok((await first.client.call('kill', { name: 'web' })).ok);
  await first.broker.port.call('launch', { launch: launched.launch });
  first.broker.qemu('web').monitor.status = 'prelaunch';
  const held = Promise.withResolvers<void>();
  first.broker.killGate = held.promise;
  const restarted = first.restart();
  await until(() => first.broker.calls.at(-1) === 'kill', 'being cut off');
  const client = new QwardClient({ socketPath: first.paths.apiSocket });
  context.after(() => client.close());
  const starting = client.call('start', { name: 'web' });
  await delay(100);
  held.resolve();
  const reply = await starting;
  const second = await restarted;
  assert.ok(reply.ok, JSON.stringify(reply));
  assert.equal(reply.result.outcome, 'started');
  assert.equal(second.manager.machines.get('web')?.state, 'running');
});

test('viewers whose right ends while QEMU is asked hold no place', async (context) => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  context.after(() => server.close());
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const gate = Promise.withResolvers<void>();
  const viewers = new Viewers(new HandedSockets());
  // What is on its way in a socket that nobody reads stays open, as if QEMU had it.
  const [one, other] = socketPair();
  const holder = new Socket({ fd: one });
  context.after(() => {
    holder.destroy();
    closeSync(other);
  });
  const session = {
    execute: async (_: string, __: unknown, { descriptor }: ExecuteOptions) => {
      if (descriptor !== undefined) sendDescriptor(holder, Buffer.from('-'), descriptor);
      await gate.promise;
      return { ok: true, value: {} };
    },
  };
  const machine = { name: 'web', run: { hasScreen: true, viewers, session } } as unknown as Machine;
  for (let count = 0; count < maxViewers; count += 1) {
    const accepted = once(server, 'connection') as Promise<[WebSocket]>;
    const client = new WebSocket(`ws://127.0.0.1:${address.port}`);
    client.on('error', () => undefined);
    const [viewer] = await accepted;
    const serve = openViewer(machine, 'root');
    assert.ok(serve.ok);
    serve.value(viewer);
    viewer.terminate();
    await once(viewer, 'close');
  }
  assert.ok(viewers.full);
  gate.resolve();
  await until(() => !viewers.full, 'given back');
});

test('who opens channels without end, and reads nothing, costs a bounded amount of memory', () => {
  const [input, output] = [new PassThrough(), new PassThrough()];
  const ends: (Error | undefined)[] = [];
  const mux = new Mux({
    input,
    output,
    onOpen: (_, channel) => {
      channel.on('error', () => undefined);
      channel.destroy(new Error('nothing of that name '.repeat(40)));
    },
    onEnd: (error) => ends.push(error),
  });
  const frame = (id: number): Buffer => {
    const head = Buffer.alloc(9);
    head.writeUInt8(1, 0);
    head.writeUInt32BE(id, 1);
    return head;
  };
  for (let id = 1; id < 100_000 && ends.length === 0; id += 1) mux.receive(frame(id));
  assert.ok(ends[0] instanceof MuxFault, 'it ends');
  assert.ok(output.writableLength < 20 * 1024 * 1024, `${output.writableLength} bytes wait`);
});

test('what the other host writes beside the answers steers no terminal', async (context) => {
  const directory = mkdtempSync(join(tmpdir(), 'qward-ssh-'));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(
    join(directory, 'ssh'),
    "#!/bin/sh\nprintf 'no route\\r\\n\\033]0;owned\\007\\302\\233x\\n' >&2\nexit 255\n",
  );
  chmodSync(join(directory, 'ssh'), 0o755);
  const main = resolve(import.meta.dirname, '../../src/cli/main.ts');
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', main, '-H', 'ssh://evil.example', 'list'],
    { env: { ...process.env, PATH: `${directory}:/usr/bin:/bin` }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let shown = '';
  child.stderr.on('data', (piece: Buffer) => (shown += piece.toString()));
  await once(child, 'close');
  assert.match(shown, /^no route\n\\x1b\]0;owned\\x07\\x9bx\n/);
  assert.match(shown, /ssh could not connect/);
});
