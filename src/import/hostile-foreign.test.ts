/** Settings, keys and arguments of somebody who means harm: read to their end, and what comes of them is a definition. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { definitionKeys } from '../definition/definition-keys.ts';
import { parseDefinition } from '../definition/parse.ts';
import type { ForeignImport } from './foreign-draft.ts';
import { importQemuInit } from './qemu-init/import-qemu-init.ts';
import { importCommandLine } from './qemu/import-command-line.ts';
import { importXl } from './xen/import-xl.ts';

const keys = definitionKeys();
const directory = join(import.meta.dirname, '../../test/golden/import');
const read = (file: string): string => readFileSync(join(directory, file), 'utf8');
const ending = (end: string): readonly string[] =>
  readdirSync(directory)
    .filter((file) => file.endsWith(end))
    .map(read);

/** A sample with pieces cut out and others put in. */
function mutated(samples: readonly string[]): fc.Arbitrary<string> {
  const cut = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    length: fc.integer({ min: 0, max: 40 }),
    text: fc.oneof(
      fc.string({ maxLength: 6 }),
      fc.constantFrom(
        ',',
        '=',
        ',,',
        '\n',
        '"',
        "'",
        '[',
        ']',
        '{"a":',
        '-device\n',
        'id=',
        '-1',
        '1e99',
        '../../..',
        '\0',
        ';',
      ),
    ),
  });
  return fc
    .record({ sample: fc.constantFrom(...samples), cuts: fc.array(cut, { maxLength: 6 }) })
    .map(({ sample, cuts }) =>
      cuts.reduce((text, { at, length, text: put }) => {
        const from = Math.floor(at * text.length);
        return text.slice(0, from) + put + text.slice(from + length);
      }, sample),
    );
}

function assertSound(result: ForeignImport): void {
  if (!result.ok) return assert.ok(result.faults.length > 0);
  const parsed = parseDefinition(result.source);
  assert.deepEqual(parsed.ok ? [] : parsed.faults, [], result.source);
}

test('no xl.cfg makes the importer throw', () => {
  fc.assert(
    fc.property(mutated(ending('.cfg')), (text) => assertSound(importXl(text, { keys }))),
    { numRuns: 100 },
  );
});

test('no command line makes the importer throw', () => {
  fc.assert(
    fc.property(mutated(ending('.argv')), (text) =>
      assertSound(importCommandLine(['kvm', ...text.split('\n')], { cwd: '/srv', keys })),
    ),
    { numRuns: 100 },
  );
});

test('no file of qemu-init makes the importer throw', () => {
  const rc = mutated([read('qemu-init/web-qemud.rc'), read('qemu-init/shop-qemud.rc')]);
  const cfg = mutated([read('qemu-init/web-qemu.cfg')]);
  fc.assert(
    fc.property(rc, cfg, (one, other) =>
      assertSound(importQemuInit({ rc: one, cfg: other, directory: '/srv' }, { keys, name: 'web' })),
    ),
    { numRuns: 100 },
  );
});
