/** events, logs and the console, through the real program. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { cli } from '../support/cli.ts';
import { ok, refuse, startFakeManager } from '../support/fake-manager.ts';

const program = join(resolve(import.meta.dirname, '../..'), 'src/cli/main.ts');
const event = (name: string, machine: string): string =>
  JSON.stringify({ at: '2026-03-01T12:00:00Z', event: name, machine, by: 'alice', details: { pid: 7 } });

test('events are printed as they come, filtered, until there were enough', async () => {
  await using manager = await startFakeManager({
    handlers: {},
    streams: {
      events: (socket) => {
        socket.send(event('machine.started', 'db'));
        socket.send(event('machine.defined', 'web'));
        socket.send(event('machine.started', 'web'));
      },
    },
  });
  const { status, out } = await cli(['events', 'web', '-e', 'machine.st*', '-n', '1'], manager);
  assert.deepEqual([status, out], [0, '2026-03-01T12:00:00Z  web  machine.started  by alice  pid=7\n']);
  const json = await cli(['events', '--json', '-n', '2'], manager);
  assert.deepEqual(
    json.out
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { machine: string }).machine),
    ['db', 'web'],
  );
});

test('a manager that goes away ends events with status 5', async () => {
  await using manager = await startFakeManager({
    handlers: {},
    streams: { events: (socket) => socket.terminate() },
  });
  assert.equal((await cli(['events'], manager)).status, 5);
});

test('a refused stream gives the faults of the manager', async () => {
  await using manager = await startFakeManager({
    handlers: { list: () => ok([]) },
    streams: { console: refuse('console-busy', 'bob writes to the console of "web"') },
  });
  const { status, err } = await cli(['console', 'web'], manager);
  assert.deepEqual([status, err], [1, 'bob writes to the console of "web"\n']);
});

test('logs -f prints each line once', async () => {
  const line = (text: string) => ({ at: '2026-03-01T12:00:00Z', from: 'qemu', text }) as const;
  const all = [line('one'), line('two'), line('three')];
  let asked = 0;
  await using manager = await startFakeManager({
    handlers: {
      logs: ({ name }) => {
        asked += 1;
        return asked > 3 ? refuse('machine-unknown', 'gone') : ok({ name, lines: all.slice(0, asked) });
      },
    },
  });
  const { out } = await cli(['logs', '-f', 'web'], manager);
  assert.deepEqual(
    out
      .trim()
      .split('\n')
      .map((text) => text.split(' ').at(-1)),
    ['one', 'two', 'three'],
  );
});

test('console joins standard input and output to the guest', async () => {
  await using manager = await startFakeManager({
    handlers: {},
    streams: {
      console: (socket) => {
        socket.send(JSON.stringify({ notice: 'attached', writer: true, message: 'attached' }));
        socket.send(Buffer.from('login: '));
        socket.on('message', (data: Buffer) => {
          socket.send(Buffer.from(`hello ${data.toString()}`));
          socket.send(JSON.stringify({ notice: 'ended', writer: false, message: 'web has stopped' }));
          socket.close();
        });
      },
    },
  });
  const child = spawn(process.execPath, [program, '--socket', manager.socketPath, 'console', 'web'], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (piece: Buffer) => (out += piece.toString()));
  child.stderr.on('data', (piece: Buffer) => (err += piece.toString()));
  child.stdin.write('root\n');
  const [status] = await once(child, 'close');
  assert.deepEqual([status, out], [0, 'login: hello root\n']);
  assert.match(err, /\[qward: web has stopped\]/);
  assert.deepEqual(manager.calls[0]?.input, { name: 'web', mode: 'write', steal: false, replay: true });
});

test('console --log prints what was shown', async () => {
  const output = Buffer.from('boot\u001b[31m!\r\n').toString('base64');
  await using manager = await startFakeManager({
    handlers: { consoleOutput: ({ name }) => ok({ name, output, lost: 3 }) },
  });
  const piped = await cli(['console', '--log', 'web'], manager);
  assert.deepEqual([piped.out, piped.err], ['boot\u001b[31m!\r\n', '3 bytes before this are lost.\n']);
  const shown = await cli(['console', '--log', 'web'], { ...manager, terminals: [1] });
  assert.equal(shown.out, 'boot\\x1b[31m!\n');
});
