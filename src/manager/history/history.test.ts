/** The history in its own thread and file: what is kept, what is shown to whom, and what happens where it cannot be kept. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openHistoryDatabase } from './database.ts';
import { History, type Change } from './history.ts';
import type { EntryFilter, StoredEntry } from './messages.ts';

const identity = (uid: number) => ({
  uid,
  user: `user${uid}`,
  pid: 7,
  groups: [],
  administrator: false,
  operator: false,
  operatesAll: false,
  definer: false,
});
const change = (call: string, machine: string, owner: number | null = null): Change => ({
  call,
  machine,
  owner,
  outcome: 'done',
  code: null,
  rule: null,
  details: null,
});
const all: EntryFilter = {
  machine: null,
  user: null,
  refused: false,
  since: null,
  visibleTo: null,
  limit: 10_000,
};

function open(context: TestContext): { path: string; begin: () => History; faults: unknown[] } {
  const directory = mkdtempSync(`${tmpdir()}/qward-history-`);
  const path = `${directory}/history.db`;
  const faults: unknown[] = [];
  const begun: History[] = [];
  context.after(async () => {
    for (const history of begun) await history[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });
  const begin = (): History => {
    const history = new History({ path, now: () => new Date(), onFault: (error) => faults.push(error) });
    begun.push(history);
    return history;
  };
  return { path, begin, faults };
}

const calls = async (history: History, filter: Partial<EntryFilter> = {}): Promise<string[]> =>
  (await history.entries({ ...all, ...filter })).map(({ call }) => call);

test('entries are kept, in order, and there again for the next manager', async (context) => {
  const { begin, path } = open(context);
  const first = begin();
  first.record(identity(1), change('define', 'web'));
  first.record(identity(2), change('start', 'web'));
  assert.deepEqual(await calls(first), ['define', 'start']);
  await first[Symbol.asyncDispose]();
  const second = begin();
  second.record(identity(1), change('stop', 'web'));
  assert.deepEqual(await calls(second), ['define', 'start', 'stop']);
  assert.deepEqual(await calls(second, { limit: 1 }), ['stop']);
  assert.equal(readFileSync(path).subarray(0, 15).toString(), 'SQLite format 3');
});

test('each filter holds, and who sees not all sees the own calls and the own machines of then', async (context) => {
  const history = open(context).begin();
  history.record(identity(1), change('a', 'web', 1));
  history.record(identity(2), { ...change('b', 'web', 1), outcome: 'refused', code: 'machine-unknown' });
  history.record(identity(2), change('c', 'web', 2));
  assert.deepEqual(await calls(history, { visibleTo: 1 }), ['a', 'b']);
  assert.deepEqual(await calls(history, { visibleTo: 2 }), ['b', 'c']);
  assert.deepEqual(await calls(history, { visibleTo: 3 }), []);
  assert.deepEqual(await calls(history, { refused: true }), ['b']);
  assert.deepEqual(await calls(history, { user: 'user2' }), ['b', 'c']);
  assert.deepEqual(await calls(history, { user: '1' }), ['a']);
  assert.deepEqual(await calls(history, { machine: "web' OR 1=1 --" }), []);
  assert.deepEqual(await calls(history, { since: Date.now() + 60_000 }), []);
});

test('who follows is told each entry once it is kept', async (context) => {
  const history = open(context).begin();
  const told: number[] = [];
  history.subscribe(({ id }) => told.push(id));
  for (let index = 0; index < 3; index += 1) history.record(identity(1), change('start', 'web'));
  await history.flush();
  assert.deepEqual(told, [1, 2, 3]);
});

test('what cannot be written is told once, waits, and is kept when it can be', async (context) => {
  const { begin, path, faults } = open(context);
  mkdirSync(path);
  const history = begin();
  history.record(identity(1), change('start', 'web'));
  await history.flush();
  history.record(identity(1), change('stop', 'web'));
  await history.flush();
  assert.equal(faults.length, 1);
  assert.equal(history.state.waiting, 2);
  assert.match(history.state.fault ?? '', /unable to open/);
  rmSync(path, { recursive: true });
  assert.deepEqual(await calls(history), ['start', 'stop']);
  assert.deepEqual(history.state, { fault: null, waiting: 0, lost: 0, damaged: null });
});

test('a file that is no database is put aside, not lost', async (context) => {
  const { begin, path } = open(context);
  writeFileSync(path, 'x'.repeat(5000));
  const history = begin();
  history.record(identity(1), change('start', 'web'));
  assert.deepEqual(await calls(history), ['start']);
  assert.equal(history.state.damaged, `${path}.damaged`);
  assert.equal(statSync(`${path}.damaged`).size, 5000);
});

test('users without rights leave few entries, however often they ask', async (context) => {
  const history = open(context).begin();
  for (let index = 0; index < 1000; index += 1) history.recordStranger(identity(9), change('start', 'web'));
  assert.ok((await calls(history)).length <= 25);
});

test('nobody pushes out what others did: who has most entries loses the oldest of them', (context) => {
  const { path } = open(context);
  const database = openHistoryDatabase(path, { entries: 500, actions: 10, ageMs: 60_000 });
  const entry = (uid: number, stranger = false): StoredEntry => ({
    ...identity(uid),
    ...change('start', 'web'),
    at: Date.now(),
    stranger,
  });
  database.write([entry(1), entry(1)], []);
  for (let batch = 0; batch < 5; batch += 1)
    database.write(
      Array.from({ length: 1000 }, (_, index) => (index % 2 === 0 ? entry(2) : entry(1000 + index, true))),
      [],
    );
  database.write([{ ...entry(3), at: Date.now() - 120_000 }], []);
  database.write(
    Array.from({ length: 1000 }, () => entry(2)),
    [],
  );
  const kept = database.entries(all);
  assert.equal(kept.length, 500);
  assert.equal(kept.filter(({ uid }) => uid === 1).length, 2);
  assert.equal(kept.filter(({ uid }) => uid === 3).length, 0, 'too old');
  const [flooder, strangers] = [kept.filter(({ uid }) => uid === 2), kept.filter(({ stranger }) => stranger)];
  assert.ok(Math.abs(flooder.length - strangers.length) < 60, `${flooder.length} and ${strangers.length}`);
  database.close();
});

test('what is kept is not changed', (context) => {
  const { path } = open(context);
  const database = openHistoryDatabase(path, { entries: 500, actions: 10, ageMs: 60_000 });
  database.write([{ ...identity(1), ...change('start', 'web'), at: Date.now(), stranger: false }], []);
  database.close();
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite');
  const raw = new DatabaseSync(path);
  assert.throws(() => raw.exec("UPDATE entry SET user = 'root'"), /only added to/);
  raw.close();
});

test('a history that was ended tries nothing more, so that its program can end', async (context) => {
  const { begin, faults } = open(context);
  const history = begin();
  await history[Symbol.asyncDispose]();
  history.record(identity(1000), change('start', 'late'));
  history.recordAction({ call: 'kill', machine: 'late', phase: 'asked' });
  await delay(300);
  assert.deepEqual(faults, []);
  assert.equal(history.state.waiting, 1);
});
