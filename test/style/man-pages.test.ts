/** The manual pages that are written by hand say what the programs take, and all pages render without a warning. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { commandNames } from '../../src/cli/command-table.ts';
import { definitionKeys } from '../../src/definition/definition-keys.ts';
import { parsePolicy } from '../../src/policy/parse-policy.ts';
import { defaultPolicy } from '../../src/policy/policy.ts';

const root = resolve(import.meta.dirname, '../..');
const folder = join(root, 'packaging/man');
const source = (file: string): string => readFileSync(join(root, file), 'utf8');
/** Without the escapes of roff. */
const page = (file: string): string =>
  readFileSync(join(folder, file), 'utf8')
    .replaceAll(/\\f[BIR]/g, '')
    .replaceAll('\\-', '-');

/** What a page of a file tells of, each behind a .TP. */
const keysIn = (text: string): string[] =>
  [...text.matchAll(/^\.TP\n([a-z]\w+)$/gim)].map(([, key = '']) => key);

/** Names in the `options` that a program gives to parseArgs. */
const optionsIn = (file: string): string[] =>
  [...source(file).matchAll(/^ {6}'?([a-z-]+)'?: \{ type: '(?:string|boolean)'/gm)].map(
    ([, name = '']) => name,
  );

test('the pages of the daemons have every option, and no other', () => {
  const programs = [
    ['qward-manager.8', 'src/manager/options.ts'],
    ['qward-broker.8', 'src/broker/main.ts'],
  ] as const;
  for (const [file, program] of programs) {
    const documented = [...page(file).matchAll(/--([a-z][a-z-]+)/g)].map(([, name = '']) => name);
    const options = optionsIn(program);
    assert.ok(options.length > 4, program);
    assert.deepEqual([...new Set(documented)].toSorted(), options.toSorted(), file);
  }
});

test('the page of the broker names every request', () => {
  const text = page('qward-broker.8');
  const calls = [...source('src/broker/dispatch.ts').matchAll(/^ {2}'?([a-z-]+)'?: \(_?context/gm)].map(
    ([, call = '']) => call,
  );
  assert.ok(calls.length >= 9);
  for (const call of calls) assert.match(text, new RegExp(`\\b${call}\\b`), call);
});

test('the page of instances.json has its keys, and its example is the file that is installed', () => {
  const text = page('qward-instances.json.5');
  const installed = source('resources/instances.json');
  assert.deepEqual(keysIn(text), Object.keys(Object(JSON.parse(installed))));
  const example = /^\.nf\n([\s\S]*?)^\.fi$/m.exec(text)?.[1] ?? '';
  assert.deepEqual(JSON.parse(example), JSON.parse(installed));
});

test('the page of the policy has every key with its default, and its example is a policy', () => {
  const text = page('qward-policy.json.5');
  assert.deepEqual(keysIn(text), Object.keys(defaultPolicy));
  const { uidRange, storageRoots, qemuBinaries, devices, ceilings } = defaultPolicy;
  const values = [
    ...Object.entries(uidRange).map(([key, value]) => `${key} ${value}`),
    ...storageRoots.map(({ path, access }) => `${path}, ${access}`),
    ...qemuBinaries,
    ...devices,
    ...Object.entries(ceilings).map(([key, value]) => `${key} ${value}`),
  ];
  for (const value of values) assert.ok(text.includes(value), value);
  const example = /^\.EX\n([\s\S]*?)^\.EE$/m.exec(text)?.[1] ?? '';
  assert.ok(parsePolicy(example).ok, example);
});

test('the generated pages have every command and every key', () => {
  const commands = page('qward.1');
  for (const name of commandNames) assert.match(commands, new RegExp(`^\\.SS "qward ${name}\\b`, 'm'));
  const keys = page('qward.yaml.5');
  for (const { name } of definitionKeys()) assert.match(keys, new RegExp(`^${name} \\(`, 'm'), name);
});

const groff = '/usr/bin/groff';
test('every page renders without a warning', { skip: !existsSync(groff) && 'groff is not installed' }, () => {
  const files = readdirSync(folder);
  assert.equal(files.length, 6);
  for (const file of files) {
    const argv = ['-man', '-Tutf8', '-k', '-ww', '-rLL=100n', '-P-cbou', join(folder, file)];
    const { status, stdout, stderr } = spawnSync(groff, argv, { encoding: 'utf8', timeout: 20_000 });
    assert.deepEqual([status, stderr], [0, ''], file);
    assert.match(stdout, /SEE ALSO/);
  }
});
