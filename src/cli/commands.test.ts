/** What every command's data must keep to. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import type { OptionSpecs } from './command.ts';
import { commandGroups, commandNames, findCommand, loadCommands } from './command-table.ts';
import { completionScript, shells } from './complete/script.ts';
import { globalOptions } from './global-options.ts';
import { optionFlag, parseArguments } from './parse-arguments.ts';
import { commandHelp, programHelp } from './render/help.ts';
import { qwardVersion } from './version.ts';

const commands = await loadCommands();
const globals: OptionSpecs = globalOptions;

/** Words of an example as a shell would split them; up to a pipe or a redirection. */
function shellWords(line: string): string[] {
  const inner = line.replace(/^source <\((.*)\)$/, '$1');
  const words = [...inner.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    (match) => match[1] ?? match[2] ?? match[3] ?? '',
  );
  const end = words.findIndex((word) => ['|', '<', '>', '&&'].includes(word));
  return end === -1 ? words : words.slice(0, end);
}

test('a command has the name under which it is found, and says in one sentence what it does', () => {
  assert.deepEqual(
    commands.map(({ name }) => name),
    commandNames,
  );
  for (const { name, summary } of commands) assert.match(summary, /^[A-Z].{5,70}\.$/, name);
});

test('every example is one that the command takes', async () => {
  for (const { name, examples } of commands) {
    assert.ok(examples.length > 0, name);
    for (const { line } of examples) {
      const words = shellWords(line);
      const at = words.indexOf('qward');
      const command = await findCommand(words[at + 1] ?? '')?.();
      assert.equal(command?.name, name, line);
      const outcome = parseArguments(command, globals, words.slice(at + 2));
      assert.ok(outcome.ok, `${line}: ${outcome.ok ? '' : outcome.message}`);
    }
  }
});

test('no two options of a command share a flag', () => {
  for (const { name, options } of commands) {
    const flags = Object.entries({ ...options, ...globals }).flatMap(([key, { short }]) => [
      optionFlag(key),
      ...(short === undefined ? [] : [`-${short}`]),
    ]);
    assert.equal(new Set(flags).size, flags.length, `${name}: ${flags.join(' ')}`);
  }
});

test('words that completion offers need no quoting in a shell', () => {
  for (const { name, arguments: specs, options } of commands) {
    const offered = [...Object.values(specs), ...Object.values(options)].flatMap((spec) => {
      const complete = 'complete' in spec ? spec.complete : undefined;
      return Array.isArray(complete) ? (complete as readonly string[]) : [];
    });
    for (const word of offered) assert.match(word, /^[a-z][a-z0-9-]*$/, `${name}: ${word}`);
  }
});

test('every script names every command, and asks for the names of machines', () => {
  for (const shell of shells) {
    const script = completionScript(shell, commands);
    for (const { name } of commands) assert.ok(script.includes(name), `${shell}: ${name}`);
    assert.ok(script.includes('__complete machines'));
  }
});

test('help fits a terminal of 80 columns, but for command lines', () => {
  const groups = Object.fromEntries(
    Object.entries(commandGroups).map(([title, group]) => [
      title,
      commands.filter(({ name }) => Object.hasOwn(group, name)),
    ]),
  );
  for (const text of [programHelp(groups), ...commands.map(commandHelp)])
    for (const line of text.split('\n')) assert.ok(line.length <= 80 || line.startsWith('  '), line);
});

test('the version is that of the package', () => {
  const root = resolve(import.meta.dirname, '../..');
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  assert.equal(qwardVersion, version);
});
