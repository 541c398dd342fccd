import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openBrokerLog, readBrokerLog } from './log.ts';

const directory = mkdtempSync(join(tmpdir(), 'qward-log-'));
after(() => rmSync(directory, { recursive: true }));

const at = '2026-01-01T00:00:00.000Z';
const now = (): Date => new Date(at);
const linesOf = (file: string): Record<string, unknown>[] =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
const done = { call: 'launch', machine: 'web', uid: 990, ok: true };
const refused = { refused: 'protocol', uid: 990, pid: 1, why: 'x' };

test('of a flood of refusals a few are told, the others counted, and all that is done is told', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const file = join(directory, 'flood');
  const log = openBrokerLog(file, now);
  log(done);
  for (let round = 0; round < 1000; round += 1) log(refused);
  log({ ...refused, uid: 0 });
  for (let round = 0; round < 500; round += 1) log({ ...done, ok: false, refusals: [] });
  for (let round = 0; round < 100; round += 1) log(done);
  context.mock.timers.tick(60_000);
  log(refused);
  const lines = linesOf(file);
  assert.equal(lines.filter(({ ok }) => ok === true).length, 101);
  assert.equal(lines.filter(({ uid }) => uid === 0).length, 1, "a user's flood hides no other's refusals");
  assert.equal(lines.length, 101 + 20 + 1 + 20 + 2 + 1);
  assert.deepEqual(
    lines.filter(({ times }) => times !== undefined),
    [
      { at, refused: 'protocol', uid: 990, times: 980 },
      { at, call: 'launch', uid: 990, ok: false, times: 480 },
    ],
  );
});

test('users without number, each with one refusal, fill no log either', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const file = join(directory, 'users');
  const log = openBrokerLog(file, now);
  for (let uid = 0; uid < 10_000; uid += 1) log({ ...refused, uid });
  context.mock.timers.tick(60_000);
  const lines = linesOf(file);
  assert.equal(lines.length, 1024 + 20 + 1);
  assert.deepEqual(lines.at(-1), { at, refused: 'others', times: 10_000 - 1024 - 20 });
});

test('of one user, with all uids that one may have, each refusal but a few is counted, and none of another hidden', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const file = join(directory, 'subordinate');
  const log = openBrokerLog(file, now);
  for (let uid = 100_000; uid < 165_536; uid += 1) log({ ...refused, uid });
  log({ ...refused, uid: 1001 });
  context.mock.timers.tick(60_000);
  const lines = linesOf(file);
  assert.equal(lines.filter(({ uid }) => uid === 1001).length, 1);
  assert.equal(lines.length, 2 * (20 + 1) + 1);
  assert.deepEqual(lines.at(-1), { at, refused: 'protocol', uids: 131_072, times: 165_536 - 131_072 - 20 });
});

test('what had nothing to do is counted apart from what did something', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const file = join(directory, 'idle');
  const log = openBrokerLog(file, now);
  const kill = { call: 'kill', machine: 'web', uid: 990, ok: true };
  for (let round = 0; round < 100_000; round += 1) log({ ...kill, machine: `never-${round}`, idle: true });
  for (let round = 0; round < 50; round += 1) log({ ...kill, idle: false });
  context.mock.timers.tick(60_000);
  const lines = linesOf(file);
  assert.equal(lines.filter(({ machine }) => machine === 'web').length, 50);
  assert.equal(lines.length, 20 + 50 + 1);
  assert.deepEqual(lines.at(-1), { at, call: 'kill', uid: 990, ok: true, idle: true, times: 99_980 });
});

test('many and long words are cut, but for what a launch was given', () => {
  const file = join(directory, 'long');
  const log = openBrokerLog(file, now);
  const many = Array.from({ length: 250 }, () => ({ message: 'm'.repeat(4096), hint: 'h'.repeat(4096) }));
  log({ call: 'launch', machine: 'web', uid: 990, ok: false, refusals: many });
  assert.ok(statSync(file).size < 8000);
  log({ call: 'claim', machine: 'web', uid: 1000, ok: true, files: many });
  assert.ok(statSync(file).size < 16_000);
  const relaxed = Array.from({ length: 40 }, (_, at) => `capability c${at}`);
  log({ ...done, relaxed });
  assert.deepEqual(linesOf(file).at(-1)?.['relaxed'], relaxed);
});

test('refusals of weeks push out no line of what was done', () => {
  const file = join(directory, 'weeks');
  const log = openBrokerLog(file, now);
  log(done);
  const week = `${JSON.stringify({ at, ...refused })}\n`.repeat(100_000);
  for (let weeks = 0; weeks < 5; weeks += 1) {
    appendFileSync(file, week);
    log({ ...done, machine: `of-${weeks}` });
  }
  const kept = readBrokerLog(file, at, 1_000_000);
  assert.deepEqual(
    kept.filter((line) => line.includes('"ok":true')).map((line) => /"machine":"([^"]*)"/.exec(line)?.[1]),
    ['web', 'of-0', 'of-1', 'of-2', 'of-3', 'of-4'],
  );
  for (const part of [file, `${file}.1`]) assert.ok(statSync(part).size < 20 * 1024 * 1024);
});
