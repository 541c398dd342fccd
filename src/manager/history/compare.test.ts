import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareWithBroker, parseBrokerLine, type BrokerEntry } from './compare.ts';
import type { BrokerAction } from './messages.ts';

const asked = (at: number, call = 'launch', machine = 'web'): BrokerAction[] => [
  { at, call, machine, phase: 'asked' },
  { at: at + 90, call, machine, phase: 'answered' },
];
const refused = (at: number, call = 'launch', machine = 'web'): BrokerAction[] =>
  asked(at, call, machine).map((action) =>
    action.phase === 'answered' ? { ...action, phase: 'refused' } : action,
  );
const done = (at: number, call = 'launch', machine = 'web'): BrokerEntry => ({
  at,
  call,
  machine,
  uid: 990,
  ok: true,
  refused: null,
  times: null,
});
const kinds = (actions: readonly BrokerAction[], entries: readonly BrokerEntry[]): string[] =>
  compareWithBroker(actions, entries).map(({ kind, call, machine }) => `${kind} ${call} ${machine}`);

test('what was asked and done is no difference', () => {
  assert.deepEqual(kinds([...asked(1000), ...asked(5000, 'kill')], [done(1080), done(5080, 'kill')]), []);
});

test('what the broker did unasked is one, also beside the same that was asked', () => {
  assert.deepEqual(kinds(asked(1000), [done(1080), done(1090)]), ['not-asked launch web']);
  assert.deepEqual(kinds(asked(1000), [done(1080, 'launch', 'other')]), [
    'not-asked launch other',
    'not-seen launch web',
  ]);
  assert.deepEqual(kinds([], [done(1080, 'rename')]), ['not-asked rename web']);
});

test('refusals that the broker only counted are no difference where the manager asked so often, and do nothing unasked', () => {
  const counted = { ...done(2000, 'launch', ''), ok: false, times: 2 };
  assert.deepEqual(kinds([...refused(1000), ...refused(1100, 'launch', 'other')], [counted]), []);
  assert.deepEqual(kinds([...refused(1000), ...refused(1100), ...refused(1200)], [counted]), [
    'not-seen launch web',
  ]);
  assert.deepEqual(kinds(refused(1000, 'kill'), [counted]), ['not-seen kill web']);
  assert.deepEqual(kinds(refused(500_000), [counted]), ['not-seen launch web']);
});

test('refusals stand for nothing that was done, counted or told', () => {
  const told = { ...done(1080), ok: false };
  assert.deepEqual(kinds(asked(1000), [told]), ['not-seen launch web']);
  assert.deepEqual(kinds(refused(1000), [done(1080)]), ['not-seen launch web']);
  assert.deepEqual(kinds(refused(1000), [told]), []);
  assert.deepEqual(kinds(asked(1000), [{ ...told, machine: '', times: 9 }]), ['not-seen launch web']);
  // What had nothing to do is counted too, and was done as it was asked.
  assert.deepEqual(kinds(asked(1000, 'kill'), [{ ...done(1080, 'kill', ''), times: 9 }]), []);
});

test('a line that counts connections says how many more they were', () => {
  const counted = { ...done(1, '', ''), refused: 'protocol', times: 1234 };
  assert.match(compareWithBroker([], [counted])[0]?.message ?? '', /^uid 990 sent .*, 1234 times more$/);
});

test('a request of long ago does not explain what is done now', () => {
  assert.deepEqual(kinds(asked(1000).slice(0, 1), [done(500_000)]), ['not-asked launch web']);
});

test('what was sent and never answered is none', () => {
  assert.deepEqual(kinds(asked(1000).slice(0, 1), []), []);
});

test('calls that only look are none, strangers and garbage are', () => {
  assert.deepEqual(kinds([], [done(1, 'probe'), { ...done(2, ''), refused: 'connection' }]), [
    'intruder  web',
  ]);
});

test('lines of the log are read from their beginning; what is cut or foreign is left out', () => {
  const at = '2026-01-01T00:00:00.000Z';
  assert.deepEqual(
    parseBrokerLine(`{"at":"${at}","call":"launch","machine":"web","uid":990,"ok":false,"refus`),
    {
      at: Date.parse(at),
      call: 'launch',
      machine: 'web',
      ok: false,
      uid: 990,
      refused: null,
      times: null,
    },
  );
  assert.equal(parseBrokerLine(`{"at":"${at}","refused":"protocol","uid":990,"pid":1}`)?.refused, 'protocol');
  for (const line of ['', '{"at":"2026-', `{"at":"${at}","other":1}`, 'x'])
    assert.equal(parseBrokerLine(line), undefined, line);
});
