import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findCommand } from '../command-table.ts';
import { globalOptions } from '../global-options.ts';
import { parseArguments } from '../parse-arguments.ts';
import { wordsOf } from './remote-words.ts';

test('words that are parsed and said again mean the same', async () => {
  const lines = [
    ['ssh', '-H', 'db1', '--wait', '1500ms', '--user=-odd', 'web', '--', 'ls', '--', '-l', ''],
    ['ssh', '--wait', '90m', 'web', 'tar', '--host', 'x'],
    [
      'create',
      'web',
      '--session',
      '-i',
      'debian-12',
      '-k',
      'a.pub',
      '-k',
      'b=c.pub',
      '-c2',
      '--login',
      '--json',
    ],
    ['list', '--all-instances', '-q', 'tag:x', '--state', 'running'],
  ];
  for (const [name = '', ...words] of lines) {
    const command = await findCommand(name)?.();
    assert.ok(command);
    const parse = (given: readonly string[]) => {
      const outcome = parseArguments(command, globalOptions, given);
      assert.ok(outcome.ok, outcome.ok ? '' : outcome.message);
      const { globals, ...rest } = outcome.input;
      return { ...rest, globals: { ...globals, host: undefined } };
    };
    const first = parse(words);
    const [again, ...said] = wordsOf(command, first);
    assert.equal(again, name);
    assert.deepEqual(parse(said), first);
    assert.ok(!said.some((word) => word.startsWith('--host=')));
  }
});
