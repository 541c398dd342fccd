/**
 * Promise 7, and rule QMP: what a hostile QEMU, a damaged file or a state of something else cannot do to saved machines. The
 * hostile QEMU is a session of this test's own, which gets the real descriptor that the manager hands over.
 */
import assert from 'node:assert/strict';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import { parseDefinition } from '../../src/definition/parse.ts';
import { sendDescriptor, socketPair } from '../../src/linux/pass-descriptor.ts';
import { receiveDescriptor } from '../../src/linux/receive-descriptor.ts';
import { HandedSockets } from '../../src/manager/handed-sockets.ts';
import type { Run } from '../../src/manager/lifecycle/run.ts';
import { success, type Outcome } from '../../src/manager/outcome.ts';
import type { FileMarks, Planned, Planner } from '../../src/manager/planner.ts';
import { Restore } from '../../src/manager/saved/restore.ts';
import { saveRun } from '../../src/manager/saved/save-run.ts';
import { SavedStates } from '../../src/manager/saved/saved-states.ts';
import { Space } from '../../src/manager/saved/space.ts';
import type { StateNote } from '../../src/manager/saved/state-note.ts';
import type { DefinitionRecord } from '../../src/manager/store/definition-store.ts';
import type { CommandResult } from '../../src/qmp/command-result.ts';
import type { ExecuteOptions } from '../../src/qmp/session.ts';

const disk = '/images/web.qcow2';
const argv = ['-machine', 'q35', '-m', 'size=64M'];

const found = parseDefinition('name: web\naccel: tcg\nmemory: 64MiB\n');
assert.ok(found.ok);
const { definition } = found;
const record = {
  name: 'web',
  definition,
  revision: 'r1',
  metadata: { owner: 0, grants: [] },
} as unknown as DefinitionRecord;

/** Answers commands as it likes; what it was handed is in `mine`. */
class HostileQemu {
  readonly version = { major: 7, minor: 2, micro: 22 };
  readonly given: string[] = [];
  mine: Socket | undefined;
  status = 'running';
  migration: Record<string, unknown> = { status: 'active', ram: { total: 100, remaining: 50 } };
  onMigrate: (socket: Socket) => void = () => undefined;

  async execute(
    command: string,
    _: unknown,
    { descriptor }: ExecuteOptions,
  ): Promise<CommandResult<unknown>> {
    this.given.push(command);
    await delay(1);
    if (command === 'getfd' && descriptor !== undefined) this.mine = duplicate(descriptor);
    if (command === 'stop') this.status = 'paused';
    if (command === 'cont') this.status = 'running';
    if (command === 'migrate_cancel') this.migration = { status: 'cancelled' };
    if (command === 'query-status')
      return { ok: true, value: { status: this.status, running: this.status === 'running' } };
    if (command === 'query-migrate') return { ok: true, value: this.migration };
    if (command.startsWith('migrate') && !command.includes('-set-') && this.mine !== undefined)
      if (command !== 'migrate_cancel') this.onMigrate(this.mine);
    return { ok: true, value: {} };
  }
}

/** As QEMU gets it: by SCM_RIGHTS. */
function duplicate(descriptor: number): Socket {
  const [one, other] = socketPair();
  const sender = new Socket({ fd: one });
  sendDescriptor(sender, Buffer.from('-'), descriptor);
  const received = receiveDescriptor(other, 16);
  sender.destroy();
  closeSync(other);
  assert.ok(received?.descriptor !== undefined);
  const socket = new Socket({ fd: received.descriptor });
  socket.on('error', () => undefined);
  return socket;
}

interface Scene {
  readonly qemu: HostileQemu;
  readonly run: Run;
  readonly states: SavedStates;
  readonly directory: string;
  readonly save: () => Promise<Outcome<StateNote>>;
}

let marks: FileMarks = { [disk]: { size: 10, modifiedMs: 1000.25 } };
const planned = (): Planned =>
  ({ plan: { launch: { argv, descriptors: [] } }, files: {}, marks }) as unknown as Planned;
const planner: Planner = { plan: () => Promise.resolve({ ok: true, value: planned() }) };

function scene(context: TestContext): Scene {
  const root = mkdtempSync(join(tmpdir(), 'qward-saved-'));
  context.after(() => rmSync(root, { recursive: true }));
  const qemu = new HostileQemu();
  context.after(() => qemu.mine?.destroy());
  const released = new AbortController();
  const run = {
    launched: {
      machine: 'web',
      launchedAt: 'then',
      log: join(root, 'log'),
      files: {},
      launch: { argv, descriptors: [] },
    },
    now: { files: {} },
    session: qemu,
    handed: new HandedSockets(),
    hotplug: { hasNote: false, usb: [] },
    media: { alone: (work: () => unknown) => work(), note: {} },
    process: { alive: true, gone: () => Promise.resolve(false) },
    released: released.signal,
    definition,
    revision: 'r1',
  } as unknown as Run;
  const states = new SavedStates(root, () => undefined);
  const save = (): Promise<Outcome<StateNote>> =>
    saveRun(
      {
        broker: { call: () => Promise.resolve({ ok: true, value: [] }) } as never,
        planner,
        states,
        space: new Space(root),
        now: () => new Date(),
        stallMs: 300,
      },
      {
        run,
        record,
        by: 'root',
        signal: new AbortController().signal,
        onProgress: () => undefined,
        keepNote: () => Promise.resolve(success(undefined)),
      },
    );
  return { qemu, run, states, directory: states.directory('web'), save };
}

/** The save fails with this, nothing of it is left, and the guest runs as before. */
async function failsWith({ save, qemu, directory, states }: Scene, wanted: RegExp): Promise<void> {
  const saved = await save();
  assert.ok(!saved.ok);
  assert.match(saved.faults.map(({ message }) => message).join('; '), wanted);
  assert.deepEqual(readdirSync(directory), []);
  assert.equal(states.get('web'), undefined);
  assert.equal(qemu.status, 'running');
}

/** A QEMU that writes this for its memory, and says that it is done. */
async function saved(context: TestContext, memory = Buffer.from('all that it knew')): Promise<Scene> {
  const stage = scene(context);
  stage.qemu.onMigrate = (socket) => {
    socket.end(memory);
    stage.qemu.migration = { status: 'completed' };
    stage.qemu.status = 'postmigrate';
  };
  const outcome = await stage.save();
  assert.ok(outcome.ok, JSON.stringify(outcome));
  return stage;
}

test('a QEMU that writes without end is stopped at what its machine can have', async (context) => {
  const stage = scene(context);
  const block = Buffer.alloc(4 * 1024 * 1024);
  stage.qemu.onMigrate = (socket) => {
    const pour = (): void => {
      while (socket.writable && socket.write(block));
    };
    socket.on('drain', pour);
    pour();
  };
  await failsWith(stage, /QEMU wrote more than the 449 MiB that its machine can have/);
});

test('a QEMU that writes nothing, or says that it is done and does not end, is given up', async (context) => {
  await failsWith(scene(context), /QEMU wrote nothing for 0.3 s/);
  const endless = scene(context);
  endless.qemu.onMigrate = (socket) => {
    socket.write('something');
    endless.qemu.migration = { status: 'completed' };
    endless.qemu.status = 'postmigrate';
  };
  await failsWith(endless, /said that all was written, and did not end/);
});

test('a QEMU that claims to be done while its guest runs, or fails, has no state', async (context) => {
  const liar = scene(context);
  liar.qemu.onMigrate = (socket) => {
    socket.end('a bit');
    liar.qemu.migration = { status: 'completed' };
    liar.qemu.status = 'running';
  };
  await failsWith(liar, /its guest is running/);
  const refusing = scene(context);
  refusing.qemu.onMigrate = () => {
    refusing.qemu.migration = { status: 'failed', 'error-desc': 'the disk \u001b[31mcannot' };
  };
  await failsWith(refusing, /the disk [^\u001b]*cannot/);
  const nonsense = scene(context);
  nonsense.qemu.migration = { status: '__proto__' };
  await failsWith(nonsense, /does not have the form/);
});

test("the state is the manager's alone, and whole before it has its name", async (context) => {
  const { directory } = await saved(context);
  const modes = readdirSync(directory).map((file) => statSync(join(directory, file)).mode & 0o777);
  assert.deepEqual(modes, [0o600, 0o600]);
  assert.equal(statSync(directory).mode & 0o777, 0o700);
});

/** What QEMU got, and what the restore says. */
async function restored({
  qemu,
  run,
  states,
}: Scene): Promise<{ readonly said: string; readonly got: string }> {
  const restore = Restore.of('web', { states, onProgress: () => undefined });
  if (!restore.ok) return { said: wordsOf(restore), got: '' };
  const fits = restore.value.check(planned());
  if (!fits.ok) return { said: wordsOf(fits), got: '' };
  let got = '';
  qemu.migration = { status: 'active' };
  qemu.onMigrate = (socket) => {
    socket.on('data', (bytes: Buffer) => (got += bytes.toString('latin1')));
    void once(socket, 'end').then(() => (qemu.migration = { status: 'completed' }));
  };
  const loaded = await restore.value.load(run, qemu as never, new AbortController().signal);
  return { said: wordsOf(loaded), got };
}

const wordsOf = (outcome: Outcome<unknown>): string =>
  outcome.ok ? 'loaded' : outcome.faults.map(({ code, message }) => `${code}: ${message}`).join('; ');

const memoryFile = (directory: string): string => {
  const file = readdirSync(directory).find((name) => name.endsWith('.zst'));
  assert.ok(file !== undefined);
  return join(directory, file);
};

test('a whole state is given to QEMU byte by byte', async (context) => {
  assert.deepEqual(await restored(await saved(context)), { said: 'loaded', got: 'all that it knew' });
});

test('a state that was changed, cut, lengthened or taken away is refused and kept', async (context) => {
  const memory = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * index) % 251));
  const harms: Readonly<Record<string, (path: string, bytes: Buffer) => void>> = {
    'a byte flipped': (path, bytes) => {
      bytes.writeUInt8(bytes.readUInt8(200) ^ 1, 200);
      writeFileSync(path, bytes);
    },
    'the last byte flipped': (path, bytes) => {
      bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
      writeFileSync(path, bytes);
    },
    'cut in half': (path, bytes) => writeFileSync(path, bytes.subarray(0, bytes.length / 2)),
    empty: (path) => writeFileSync(path, ''),
    twice: (path, bytes) => writeFileSync(path, Buffer.concat([bytes, bytes])),
    'no zstd': (path, bytes) => writeFileSync(path, Buffer.alloc(bytes.length, 7)),
    gone: (path) => rmSync(path),
  };
  for (const [harm, work] of Object.entries(harms)) {
    const stage = await saved(context, memory);
    const path = memoryFile(stage.directory);
    work(path, readFileSync(path));
    const { said } = await restored(stage);
    assert.match(said, /^state-unusable: .*its memory is damaged: .*it is kept/, harm);
    assert.ok(stage.states.get('web')?.usable, harm);
  }
});

test('a note that is damaged, of another machine, or of a newer qward is refused and kept', async (context) => {
  const harms: Readonly<Record<string, (note: Record<string, unknown>) => string>> = {
    'not JSON': () => '{',
    'of another machine': (note) => JSON.stringify({ ...note, machine: 'db' }),
    'of a newer qward': (note) => JSON.stringify({ ...note, version: 2 }),
    'a path for a file': (note) =>
      JSON.stringify({ ...note, memory: { ...(note['memory'] as object), file: '../../etc/shadow' } }),
    'without a sum': (note) => JSON.stringify({ ...note, memory: {} }),
    'a definition of another name': (note) =>
      JSON.stringify({ ...note, definition: '{"name": "db", "memory": "64MiB"}' }),
  };
  for (const [harm, work] of Object.entries(harms)) {
    const stage = await saved(context);
    const path = join(stage.directory, 'state.json');
    writeFileSync(path, work(JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>));
    const again = new SavedStates(join(stage.directory, '../..'), () => undefined);
    await again.load();
    const { said } = await restored({ ...stage, states: again });
    assert.match(said, /^state-unusable/, harm);
    assert.equal(readdirSync(stage.directory).length, 2, harm);
  }
});

test('a state whose disk was written to, or whose machine is another, is refused before anything is launched', async (context) => {
  const before = marks;
  context.after(() => {
    marks = before;
  });
  // What the broker said when all was saved.
  const noted = async (): Promise<Scene> => {
    const stage = await saved(context);
    const path = join(stage.directory, 'state.json');
    const note = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    writeFileSync(path, JSON.stringify({ ...note, files: before }));
    const states = new SavedStates(join(stage.directory, '../..'), () => undefined);
    await states.load();
    return { ...stage, states };
  };
  const stage = await noted();
  for (const [now, wanted] of [
    [{ [disk]: { size: 10, modifiedMs: 1000.5 } }, /web.qcow2 was written to at/],
    [{ [disk]: { size: 11, modifiedMs: 1000.25 } }, /has 11 bytes instead of 10/],
    [{}, /is not there/],
  ] as const) {
    marks = now;
    const { said } = await restored(stage);
    assert.match(said, wanted);
    assert.equal(stage.qemu.given.filter((command) => command === 'migrate-incoming').length, 0);
  }
});

test('a state is resumed once, whoever dies in between', async (context) => {
  const { states, directory } = await saved(context);
  assert.ok((await states.take('web')).ok);
  assert.equal(states.get('web'), undefined);
  const next = new SavedStates(join(directory, '../..'), () => undefined);
  await next.load();
  assert.equal(next.get('web'), undefined);
  assert.ok(!Restore.of('web', { states: next, onProgress: () => undefined }).ok);
});

test('what a dead manager had written of a state is cleared away, and nothing else', async (context) => {
  const { directory } = await saved(context);
  mkdirSync(join(directory, '../db'));
  for (const part of [
    'web/memory-0123456789abcdef.zst',
    'web/state.json.new',
    'db/memory-0123456789abcdef.zst',
  ])
    writeFileSync(join(directory, '..', part), 'half');
  const next = new SavedStates(join(directory, '../..'), () => undefined);
  await next.load();
  assert.equal(readdirSync(directory).length, 2);
  assert.ok(next.get('web')?.usable);
  assert.deepEqual(readdirSync(join(directory, '../db')), []);
});
