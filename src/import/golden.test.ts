/**
 * Golden files in test/golden/import: NAME.xml beside NAME.txt, the definitions that it gives, with what is said of the rest. After a
 * wanted change: UPDATE_GOLDEN=1 node --test src/import/golden.test.ts
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseDefinition } from '../definition/parse.ts';
import { importDomains, type DomainImport } from './libvirt/import-domain.ts';
import { nodesOf } from './xml/xml-node.ts';

const update = 'run UPDATE_GOLDEN=1 node --test src/import/golden.test.ts';
const directory = join(import.meta.dirname, '../../test/golden/import');
const names = readdirSync(directory)
  .filter((file) => file.endsWith('.xml'))
  .map((file) => file.slice(0, -'.xml'.length));
const xmlOf = (name: string): string => readFileSync(join(directory, `${name}.xml`), 'utf8');

function shown(result: DomainImport): string {
  if (!result.ok)
    return result.faults
      .map(({ line, message, hint }) => `fault, line ${line}: ${message} | ${hint}\n`)
      .join('');
  const { imported, changed, unsupported, notes } = result.account;
  const lines = notes.map(
    ({ kind, lines, subject, message }) => `# ${kind} ${lines.join(',')} ${subject}: ${message}\n`,
  );
  return `${result.source}# imported ${imported}, changed ${changed}, unsupported ${unsupported}\n${lines.join('')}`;
}

assert.ok(names.length >= 25, 'samples of domains');

for (const name of names) {
  test(`${name}.xml gives ${name}.txt`, () => {
    const text = importDomains(xmlOf(name)).map(shown).join('---\n');
    const path = join(directory, `${name}.txt`);
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, text);
    const wanted = existsSync(path) ? readFileSync(path, 'utf8') : '';
    assert.ok(text === wanted, `${update}, and look at what "git diff" shows; now:\n${text}`);
  });

  test(`${name}.xml: each piece has one verdict, and what comes of it is a definition`, () => {
    for (const result of importDomains(xmlOf(name))) {
      if (!result.ok) {
        assert.ok(result.faults.every(({ message, hint }) => message !== '' && hint !== ''));
        continue;
      }
      const pieces = [...nodesOf(result.root)];
      assert.deepEqual(
        pieces.filter((piece) => !result.judgements.has(piece)),
        [],
      );
      assert.equal(result.judgements.size, pieces.length);
      const { imported, changed, unsupported } = result.account;
      assert.equal(imported + changed + unsupported, pieces.length);
      const parsed = parseDefinition(result.source);
      assert.deepEqual(parsed.ok ? [] : parsed.faults, []);
    }
  });
}
