/** Holds docs/threat-model.md, the tests that it names and the SECURITY comments of the source against each other. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';

const root = resolve(import.meta.dirname, '../..');
const model = readFileSync(join(root, 'docs/threat-model.md'), 'utf8');
const promises = [...model.matchAll(/^### (\d+)\. .*\n([\s\S]*?)(?=^##)/gm)].map((match) => ({
  number: Number(match[1]),
  text: match[2] ?? '',
}));

test('the promises are numbered from 1 without a gap', () => {
  assert.deepEqual(
    promises.map(({ number }) => number),
    promises.map((_, index) => index + 1),
  );
  assert.equal(promises.length, 8);
});

test('every test that a promise names exists', () => {
  const links = promises.flatMap(({ text }) =>
    [...text.matchAll(/\]\((\S+)\)/g)].map((match) => match[1] ?? ''),
  );
  const missing = links.filter((link) => !existsSync(join(root, 'docs', link)));
  assert.deepEqual(missing, []);
});

test('every SECURITY comment names one of the promises', () => {
  const numbers = new Set(promises.map(({ number }) => number));
  const wrong = globSync('src/**/*.ts', { cwd: root }).flatMap((file) => {
    const text = readFileSync(join(root, file), 'utf8');
    return [...text.matchAll(/SECURITY:(?: promise (\d+)\.)?/g)]
      .filter((match) => !numbers.has(Number(match[1])))
      .map((match) => `${file}: ${text.slice(match.index, match.index + 60)}`);
  });
  assert.deepEqual(wrong, []);
});
