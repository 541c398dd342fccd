/** The examples that users copy are definitions without faults. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { formatFull } from '../../src/definition/format-full.ts';
import { parseDefinition } from '../../src/definition/parse.ts';

const folder = resolve(import.meta.dirname, '../../resources/examples');

for (const file of ['minimal.yaml', 'server.yaml', 'microvm.yaml']) {
  test(`${file} is a definition, also with every default written out`, () => {
    const parsed = parseDefinition(readFileSync(join(folder, file), 'utf8'));
    assert.deepEqual(parsed.ok ? [] : parsed.faults, []);
    assert.ok(parsed.ok);
    assert.deepEqual(parseDefinition(formatFull(parsed.definition)), parsed);
  });
}

test('every example is tested and names the schema for editors', () => {
  const files = readdirSync(folder);
  assert.deepEqual(files.toSorted(), ['microvm.yaml', 'minimal.yaml', 'server.yaml']);
  for (const file of files)
    assert.match(
      readFileSync(join(folder, file), 'utf8'),
      /^# yaml-language-server: \$schema=\.\.\/definition\.schema\.json\n/,
    );
});
