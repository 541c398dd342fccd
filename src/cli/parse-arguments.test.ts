import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ArgumentSpecs, OptionSpecs } from './command.ts';
import { parseArguments } from './parse-arguments.ts';

const command = {
  arguments: {
    NAME: { help: 'A name.', complete: 'machine' },
    MORE: { help: 'More.', complete: 'none', repeated: true, optional: true },
  } satisfies ArgumentSpecs as ArgumentSpecs,
  options: {
    force: { kind: 'flag', short: 'f', help: '' },
    dryRun: { kind: 'flag', short: 'n', help: '' },
    timeout: { kind: 'duration', short: 't', value: 'TIME', help: '' },
    count: { kind: 'number', value: 'COUNT', help: '' },
    disk: { kind: 'texts', short: 'd', value: 'DISK', help: '' },
    mode: { kind: 'text', value: 'MODE', complete: ['fast', 'slow'], help: '' },
  } satisfies OptionSpecs as OptionSpecs,
};
const globals: OptionSpecs = {
  help: { kind: 'flag', short: 'h', help: '' },
  json: { kind: 'flag', help: '' },
};
const parse = (...words: string[]) => parseArguments(command, globals, words);

function values(...words: string[]): unknown {
  const outcome = parse(...words);
  return outcome.ok
    ? [outcome.input.arguments, outcome.input.options, outcome.input.globals]
    : outcome.message;
}
const none = { force: false, dryRun: false, timeout: undefined, count: undefined, disk: [], mode: undefined };

test('options stand anywhere, long, short, joined', () => {
  assert.deepEqual(values('-fn', 'web', '--timeout=2m', '-d', 'a', '-db', '--json', '--count', '3'), [
    { NAME: 'web', MORE: [] },
    { ...none, force: true, dryRun: true, timeout: 120_000, disk: ['a', 'b'], count: 3 },
    { help: false, json: true },
  ]);
});

test('a number may be as large as a uid, and larger', () => {
  const numberOf = (text: string): unknown => {
    const outcome = parse('web', '--count', text);
    return outcome.ok && outcome.input.options['count'];
  };
  assert.deepEqual(['4294967294', '0', '007'].map(numberOf), [4_294_967_294, 0, 7]);
});

test('behind -- every word is an argument', () => {
  assert.deepEqual(values('web', '--', '--force', '-'), [
    { NAME: 'web', MORE: ['--force', '-'] },
    none,
    { help: false, json: false },
  ]);
});

test('from a verbatim argument on every word is taken as it is', () => {
  const verbatim = {
    ...command,
    arguments: {
      ...command.arguments,
      MORE: { help: '', complete: 'none', repeated: true, optional: true, verbatim: true },
    } as ArgumentSpecs,
  };
  const outcome = parseArguments(verbatim, globals, ['-f', 'web', 'info', '-v', '--json']);
  assert.deepEqual(outcome.ok && outcome.input.arguments, { NAME: 'web', MORE: ['info', '-v', '--json'] });
});

test('help wins over what is missing', () => {
  assert.equal(parse('-h').ok, true);
});

test('what is wrong is said in one line', () => {
  const faults: readonly (readonly [string[], string])[] = [
    [[], 'NAME is missing: A name.'],
    [['web', '--forse'], 'no option --forse; did you mean --force?'],
    [['web', '-x'], 'no option -x'],
    [['web', '--force=yes'], '--force takes no value'],
    [['web', '--timeout'], '--timeout needs a value: --timeout TIME'],
    [['web', '-t', 'soon'], '-t: a time such as 30s, 500ms or 2m is expected, not "soon"'],
    [['web', '--count', '-1'], '--count: a whole number is expected, not "-1"'],
    [['web', '--count', '9007199254740992'], '--count: a whole number is expected, not "9007199254740992"'],
    [['web', '--mode', 'odd'], '--mode: "odd" is not one of fast, slow'],
  ];
  for (const [words, message] of faults) assert.equal(values(...words), message);
});

test('one word too many is named', () => {
  const outcome = parseArguments({ arguments: {}, options: {} }, globals, ['x']);
  assert.equal(!outcome.ok && outcome.message, '"x" is one word too many');
});
