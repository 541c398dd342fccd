/** The small pure parts of the CLI. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { machineSummary } from '../../test/support/machine-samples.ts';
import { nameList } from './confirm.ts';
import { escapeText, parseEscape, untilEscape } from './console/escape-key.ts';
import { alternateScreen } from './console/raw-terminal.ts';
import { parseDuration, roughDuration } from './duration.ts';
import { mapBounded } from './each-machine.ts';
import { withFaultComments, withoutFaultComments } from './edited-file.ts';
import { exitOfFaults, worstExit } from './exit-status.ts';
import { newLines } from './log-lines.ts';
import { globExpression, matchingMachines } from './select-machines.ts';

test('globs match whole names, and nothing in them is an expression', () => {
  const matches = (glob: string, name: string): boolean => globExpression(glob).test(name);
  assert.ok(matches('web*', 'web-1') && matches('*', 'x') && matches('w?b', 'web'));
  assert.ok(matches('w[ea]b', 'wab') && !matches('w[!ea]b', 'wab') && matches('w[a-f]b', 'wcb'));
  assert.ok(
    !matches('web', 'web1') && !matches('w.b', 'web') && !matches('(a+)+', 'aa') && matches('a[', 'a['),
  );
});

test('a tag matches machines with that tag', () => {
  const machines = [machineSummary('a', { tags: ['web'] }), machineSummary('b', { tags: ['webby'] })];
  assert.deepEqual(
    matchingMachines('tag:web', machines).map(({ name }) => name),
    ['a'],
  );
  assert.deepEqual(
    matchingMachines('tag:web*', machines).map(({ name }) => name),
    ['a', 'b'],
  );
});

test('the worst exit status wins', () => {
  assert.equal(worstExit([]), 0);
  assert.equal(worstExit([0, 10, 13]), 10);
  assert.equal(worstExit([10, 12, 3, 0]), 3);
  assert.equal(worstExit([4, 1, 3]), 1);
  assert.equal(exitOfFaults([{ message: '', hint: '' }]), 1);
  assert.equal(exitOfFaults([{ code: 'policy-refused', message: '', hint: '' }]), 4);
});

test('no more than the limit is worked on at once, and results keep their order', async () => {
  let running = 0;
  let most = 0;
  const results = await mapBounded([5, 1, 4, 2, 3], 2, async (item) => {
    running += 1;
    most = Math.max(most, running);
    for (let turn = 0; turn < item; turn += 1) await Promise.resolve();
    running -= 1;
    return item * 10;
  });
  assert.deepEqual(results, [50, 10, 40, 20, 30]);
  assert.equal(most, 2);
});

test('new lines of a log are those behind the known ones', () => {
  const lines = (text: string) => text.split('').map((one) => ({ at: '1', from: 'qemu', text: one }));
  const fresh = (before: string, now: string): string =>
    newLines(lines(before), lines(now))
      .map(({ text }) => text)
      .join('');
  assert.equal(fresh('', 'ab'), 'ab');
  assert.equal(fresh('ab', 'ab'), '');
  assert.equal(fresh('ab', 'abc'), 'c');
  assert.equal(fresh('bc', 'abcd'), 'd');
  assert.equal(fresh('abc', 'bcd'), 'd');
  assert.equal(fresh('aa', 'aab'), 'b');
  assert.equal(fresh('ab', 'xy'), 'xy');
});

test('fault comments come out of a definition as they went in', () => {
  const source = '# mine\nname: web\n';
  const shown = withFaultComments(source, [
    { code: 'definition-invalid', message: 'two\nlines', hint: 'cure' },
  ]);
  assert.match(shown, /^#! two\\nlines$/m);
  assert.equal(withoutFaultComments(shown), source);
});

test('the escape key ends what is typed', () => {
  assert.equal(parseEscape('^]'), 0x1d);
  assert.equal(parseEscape('ctrl-a'), 1);
  assert.equal(parseEscape('none'), null);
  assert.equal(parseEscape('x'), undefined);
  assert.equal(escapeText(0x1d), 'Ctrl-]');
  const typed = Buffer.from('ls\u001dmore');
  assert.deepEqual(untilEscape(typed, 0x1d), { bytes: typed.subarray(0, 2), escaped: true });
  assert.deepEqual(untilEscape(typed, null), { bytes: typed, escaped: false });
});

test('the alternate screen is left as the guest last set it', () => {
  assert.equal(alternateScreen(Buffer.from('\u001b[?1049h'), false), true);
  assert.equal(alternateScreen(Buffer.from('text'), true), true);
  assert.equal(alternateScreen(Buffer.from('\u001b[?1049h..\u001b[?1049l'), true), false);
});

test('durations', () => {
  assert.deepEqual(['500ms', '30s', '2m', '1h', '7', 'x', '1.5s'].map(parseDuration), [
    500,
    30_000,
    120_000,
    3_600_000,
    7000,
    undefined,
    undefined,
  ]);
  assert.deepEqual([0, 90_000, 180_000, 90_000_000].map(roughDuration), ['0 s', '90 s', '3 min', '25 h']);
});

test('long lists of names are cut', () => {
  assert.equal(nameList(['a', 'b']), 'a, b');
  assert.equal(nameList('abcdefghij'.split('')), 'a, b, c, d, e, f, g, h and 2 more');
});
