/** Holds docs/threat-model.md, the tests that it names and the SECURITY comments of the source against each other. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';

const root = resolve(import.meta.dirname, '../..');
const model = readFileSync(join(root, 'docs/threat-model.md'), 'utf8');
/** As the project gave them; the model says how far each is kept. */
const titles = [
  'At rest nothing of qward is root. What must be root is one small broker that trusts nobody.',
  'A QEMU has its own uid, no capability, and only the descriptors of its own machine.',
  'No file of a user ever changes owner, mode, label or ACL.',
  'Operators are not root by another name.',
  'Every wall is proved on the live process, every time.',
  'A machine that needs more gets just that, visibly.',
  'Nothing is lost: not a machine, not a byte of an image, whatever dies.',
  'It is faster than libvirt at all that both do.',
];
const promises = [...model.matchAll(/^### (\d+)\. (.*)\n([\s\S]*?)(?=^##)/gm)].map((match) => ({
  number: Number(match[1]),
  title: match[2] ?? '',
  text: match[3] ?? '',
}));
/** What hostile input cannot do, by who speaks. */
const rules = [...model.matchAll(/^### Rule (\w+)\n([\s\S]*?)(?=^##)/gm)].map((match) => ({
  name: match[1] ?? '',
  text: match[2] ?? '',
}));

test('the promises are the eight, in their order', () => {
  assert.deepEqual(
    promises.map(({ number, title }) => [number, title]),
    titles.map((title, index) => [index + 1, title]),
  );
});

test('every promise but speed, and every rule, names tests', () => {
  const bare = [...promises.filter(({ number }) => number !== 8), ...rules].filter(
    ({ text }) => !/\]\(\.\.\/\S+\.test\.ts\)/.test(text),
  );
  assert.deepEqual(bare, []);
});

test('everything that the model names exists', () => {
  const links = [...model.matchAll(/\]\(([^\s#)]+)[^\s)]*\)/g)].map((match) => match[1] ?? '');
  const missing = links.filter((link) => !existsSync(join(root, 'docs', link)));
  assert.deepEqual(missing, []);
});

test('every test in test/security says in its first comment which promise or rule it keeps, and the model links it', () => {
  const bad = globSync('test/security/*.test.ts', { cwd: root }).filter((file) => {
    const [comment = ''] = /^\/\*\*[\s\S]*?\*\//.exec(readFileSync(join(root, file), 'utf8')) ?? [];
    const numbers = [...comment.matchAll(/[Pp]romises? (\d+(?:(?:, | and | to )\d+)*)/g)].flatMap(
      ([, list = '']) => list.match(/\d+/g) ?? [],
    );
    const named = [...comment.matchAll(/\brule (\w+)/g)].map(([, name]) => name);
    const known =
      numbers.every((number) => promises.some((one) => String(one.number) === number)) &&
      named.every((name) => rules.some((rule) => rule.name === name));
    return !known || numbers.length + named.length === 0 || !model.includes(`(../${file})`);
  });
  assert.deepEqual(bad, []);
});

test('every class of faults of others has examples, a rule, a promise or rule that there is, and a test in test/security', () => {
  const table = /^## Faults of others.*\n([\s\S]*?)^## /m.exec(model)?.[1] ?? '';
  const rows = table
    .split('\n')
    .filter((line) => /^\| (?!class)/.test(line))
    .map((line) => line.slice(2, -2).split(' | '))
    .map(([name = '', , , kept = '', tests = '', ...more]) => ({ name, kept, tests, more }));
  assert.equal(rows.length, 22);
  const known = new Set<string>([
    ...promises.map(({ number }) => String(number)),
    ...rules.map(({ name }) => `rule ${name}`),
  ]);
  for (const { name, kept, tests, more } of rows) {
    assert.deepEqual(
      kept.split(', ').filter((one) => !known.has(one)),
      [],
      name,
    );
    assert.match(tests, /\]\(\.\.\/test\/security\/\S+\.test\.ts\)/, name);
    assert.deepEqual(more, [], name);
  }
});

test('every SECURITY comment names a promise or a rule, and every rule has one', () => {
  const known = new Set([
    ...promises.map(({ number }) => `promise ${number}`),
    ...rules.map(({ name }) => `rule ${name}`),
  ]);
  const named = new Set<string>();
  const wrong: string[] = [];
  for (const file of globSync(['src/**/*.ts', 'bin/*', 'scripts/**/*'], { cwd: root, withFileTypes: true })) {
    if (!file.isFile()) continue;
    const text = readFileSync(join(file.parentPath, file.name), 'utf8');
    for (const { index, 1: name = '' } of text.matchAll(/SECURITY:(?: ((?:promise|rule) \w+)\.)?/g)) {
      named.add(name);
      if (!known.has(name)) wrong.push(`${file.name}: ${text.slice(index, index + 60)}`);
    }
  }
  assert.deepEqual(wrong, []);
  assert.deepEqual(
    rules.filter(({ name }) => !named.has(`rule ${name}`)),
    [],
  );
});
