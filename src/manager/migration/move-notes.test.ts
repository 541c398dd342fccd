import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
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
    assert.ok((await read.remove('web')).ok);
    assert.equal(read.refusal('web'), undefined);
  }
});
