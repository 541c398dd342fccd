import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { MoveNotes, type MoveNote } from './move-notes.ts';

const note = (kind: MoveNote['kind']): MoveNote => ({
  version: 1,
  machine: 'web',
  kind,
  token: 'a'.repeat(32),
  peer: 'ssh://db2',
  at: '2026-01-01T00:00:00.000Z',
  by: 'vera',
  launchedAt: null,
  paused: false,
});

async function notes(context: TestContext): Promise<{ readonly notes: MoveNotes; readonly state: string }> {
  const state = mkdtempSync(join(tmpdir(), 'qward-moves-'));
  context.after(() => rmSync(state, { recursive: true }));
  const made = new MoveNotes(state, () => undefined);
  assert.deepEqual(await made.load(), []);
  return { notes: made, state };
}

const refusal = (one: MoveNotes): string => {
  const refused = one.refusal('web');
  return refused === undefined || refused.ok ? '' : (refused.faults[0]?.message ?? '');
};

test('a machine that is, or may be, elsewhere does not start; one that arrived does', async (context) => {
  const { notes: first, state } = await notes(context);
  for (const [kind, words] of [
    ['given', /was not heard/],
    ['gone', /was moved to ssh:\/\/db2/],
    ['arriving', /cut off/],
    ['arrived', /^$/],
  ] as const) {
    assert.ok((await first.put(note(kind))).ok);
    const next = new MoveNotes(state, () => undefined);
    assert.deepEqual(await next.load(), []);
    assert.equal(next.get('web')?.kind, kind);
    assert.match(refusal(next), words);
  }
  await first.forgetAllBut((machine) => machine !== 'web');
  assert.deepEqual(readdirSync(`${state}/moves`), []);
});

test('a note that cannot be read, or is of a newer qward, keeps its machine from starting and says the cure', async (context) => {
  const { state } = await notes(context);
  for (const text of [
    '{',
    '{}',
    JSON.stringify({ ...note('gone'), machine: 'other' }),
    JSON.stringify({ ...note('gone'), version: 2 }),
    JSON.stringify({ ...note('gone'), more: 1 }),
  ]) {
    writeFileSync(`${state}/moves/web.json`, text);
    const read = new MoveNotes(state, () => undefined);
    const [broken] = await read.load();
    assert.match(broken?.cure ?? '', /--keep web/);
    assert.match(refusal(read), /may be on another host/);
    assert.ok((await read.forget('web')).ok);
    assert.equal(read.refusal('web'), undefined);
  }
  // One that the file system does not give keeps no other from being read.
  mkdirSync(`${state}/moves/web.json`);
  const read = new MoveNotes(state, () => undefined);
  assert.match((await read.load())[0]?.reason ?? '', /EISDIR/);
  assert.match(refusal(read), /may be on another host/);
});

const [first, second] = ['1'.repeat(32), '2'.repeat(32)];

test('what became of a move to here is known whatever is done with the machine, and "no" is said only of what was nothing since', async (context) => {
  const { notes: made, state } = await notes(context);
  const fates = async (): Promise<unknown[]> => {
    const next = new MoveNotes(state, () => undefined);
    assert.deepEqual(await next.load(), []);
    for (const token of [first, second]) assert.equal(made.fateOf('web', token), next.fateOf('web', token));
    return [made.fateOf('web', first), made.fateOf('web', second)];
  };
  assert.deepEqual(await fates(), [undefined, undefined]);
  // It comes, goes on to a third host, and the name becomes another's.
  await made.put({ ...note('arriving'), token: first });
  await made.put({ ...note('arrived'), token: first });
  await made.put({ ...note('given'), token: second });
  assert.deepEqual(await fates(), ['arrived', undefined]);
  await made.forget('web');
  assert.deepEqual(await fates(), ['arrived', undefined]);
  // What was rolled back did not come, also where that was noted already; until something of its name runs here.
  await made.put({ ...note('arriving'), token: second });
  await made.put({ ...note('arrived'), token: second });
  await made.restore('web', undefined);
  assert.deepEqual(await fates(), ['arrived', 'refused']);
  assert.equal(made.fateOf('other', second), undefined);
  await made.runsHere('web');
  assert.deepEqual(await fates(), ['arrived', 'unsure']);
});

test('what is removed, renamed or said to be here is not said to have not come', async (context) => {
  const { notes: made, state } = await notes(context);
  await made.put({ ...note('arriving'), token: first });
  await made.forget('web');
  assert.equal(made.fateOf('web', first), 'unsure');
  // A manager that died before it noted that the machine is gone.
  await made.put({ ...note('arriving'), token: second });
  await made.restore('web', undefined);
  const next = new MoveNotes(state, () => undefined);
  await next.load();
  assert.equal(next.fateOf('web', second), 'refused');
  await next.forgetAllBut(() => false);
  assert.equal(next.fateOf('web', second), 'unsure');
});

test('the oldest moves are forgotten, of each machine on its own; of those, and of damaged ones, nothing is said', async (context) => {
  const { notes: made, state } = await notes(context);
  const tokenOf = (index: number): string => index.toString(16).padStart(32, '0');
  await made.put({ ...note('arriving'), machine: 'other', token: first });
  await made.restore('other', undefined);
  for (let index = 0; index < 20; index += 1) {
    await made.put({ ...note('arriving'), token: tokenOf(index), at: `2026-02-01T00:00:${index + 10}.000Z` });
    await made.restore('web', undefined);
  }
  const files = readdirSync(`${state}/arrivals`);
  assert.equal(files.length, 17);
  assert.equal(made.fateOf('web', tokenOf(3)), undefined);
  assert.equal(made.fateOf('web', tokenOf(4)), 'refused');
  assert.equal(made.fateOf('other', first), 'refused');
  writeFileSync(`${state}/arrivals/${tokenOf(5)}.json`, '{');
  writeFileSync(`${state}/arrivals/${tokenOf(7)}.json`, readFileSync(`${state}/arrivals/${tokenOf(6)}.json`));
  const next = new MoveNotes(state, () => undefined);
  assert.equal((await next.load()).length, 2);
  for (const damaged of [5, 7]) assert.equal(next.fateOf('web', tokenOf(damaged)), undefined);
});

test('what could not be written may be on disk all the same: until that is set right, of it nothing is said', async (context) => {
  const { notes: made, state } = await notes(context);
  await made.put({ ...note('arriving'), token: first });
  const inTheWay = `${state}/moves/web.json.new`;
  mkdirSync(inTheWay);
  assert.ok(!(await made.put({ ...note('arrived'), token: first })).ok);
  assert.equal(made.fateOf('web', first), 'unsure');
  rmSync(inTheWay, { recursive: true });
  assert.ok((await made.restore('web', undefined)).ok);
  assert.equal(made.fateOf('web', first), 'refused');
});
