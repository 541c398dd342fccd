/** Every dependency is a decision that somebody wrote down, and one exact version. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';

const root = resolve(import.meta.dirname, '../..');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
};
const dependencies = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });

test('every dependency has an exact version', () => {
  const loose = dependencies.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version)).map(([name]) => name);
  assert.deepEqual(loose, []);
});

test('every dependency is named in a decision record', () => {
  const folder = join(root, 'docs/decisions');
  const records = readdirSync(folder)
    .filter((file) => /^\d{4}-/.test(file))
    .map((file) => readFileSync(join(folder, file), 'utf8'))
    .join('\n');
  const unnamed = dependencies.map(([name]) => name).filter((name) => !records.includes(`\`${name}\``));
  assert.deepEqual(unnamed, []);
});
