/**
 * Golden files in test/golden/import: NAME.xml (libvirt), NAME.cfg (xl), NAME.argv (a word on a line) beside NAME.txt, the definitions that it gives, with what is said of the rest. After a
 * wanted change: UPDATE_GOLDEN=1 node --test src/import/golden.test.ts
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseDefinition } from '../definition/parse.ts';
import type { ForeignImport } from './foreign-draft.ts';
import { importDomains, type DomainImport } from './libvirt/import-domain.ts';
import { importQemuInit } from './qemu-init/import-qemu-init.ts';
import { importCommandLine } from './qemu/import-command-line.ts';
import { importXl } from './xen/import-xl.ts';
import { nodesOf } from './xml/xml-node.ts';

const update = 'run UPDATE_GOLDEN=1 node --test src/import/golden.test.ts';
const directory = join(import.meta.dirname, '../../test/golden/import');
const names = readdirSync(directory)
  .filter((file) => file.endsWith('.xml'))
  .map((file) => file.slice(0, -'.xml'.length));
const xmlOf = (name: string): string => readFileSync(join(directory, `${name}.xml`), 'utf8');

function shown(result: DomainImport | ForeignImport): string {
  if (!result.ok)
    return result.faults
      .map(({ line, message, hint }) => `fault, line ${line ?? 0}: ${message} | ${hint}\n`)
      .join('');
  const { imported, changed, unsupported, notes } = result.account;
  const lines = notes.map(
    ({ kind, lines, subject, message }) => `# ${kind} ${lines.join(',')} ${subject}: ${message}\n`,
  );
  return `${result.source}# imported ${imported}, changed ${changed}, unsupported ${unsupported}\n${lines.join('')}`;
}

assert.ok(names.length >= 25, 'samples of domains');

function hold(name: string, text: string): void {
  const path = join(directory, `${name}.txt`);
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, text);
  const wanted = existsSync(path) ? readFileSync(path, 'utf8') : '';
  assert.ok(text === wanted, `${update}, and look at what "git diff" shows; now:\n${text}`);
}

const read = (file: string): string => readFileSync(join(directory, file), 'utf8');

const others: Readonly<Record<string, (file: string) => ForeignImport>> = {
  cfg: (file) => importXl(read(file)),
  argv: (file) => importCommandLine(read(file).trimEnd().split('\n'), { cwd: '/home/alice/vm' }),
};

for (const [ending, importer] of Object.entries(others))
  for (const file of readdirSync(directory).filter((name) => name.endsWith(`.${ending}`)))
    test(`${file}: what is known is a definition, and the rest is said`, () => {
      const result = importer(file);
      hold(file, shown(result));
      if (result.ok) assert.ok(parseDefinition(result.source).ok);
    });

for (const name of ['web', 'shop'])
  test(`${name} of qemu-init: what is known is a definition, and the rest is said`, () => {
    const cfg = `qemu-init/${name}-qemu.cfg`;
    const result = importQemuInit({
      rc: read(`qemu-init/${name}-qemud.rc`),
      cfg: existsSync(join(directory, cfg)) ? read(cfg) : '',
      directory: '/home/qemud/dat',
    });
    hold(`qemu-init/${name}`, shown(result));
    assert.ok(result.ok);
    assert.ok(parseDefinition(result.source).ok);
  });

for (const name of names) {
  test(`${name}.xml gives ${name}.txt`, () => {
    hold(name, importDomains(xmlOf(name)).map(shown).join('---\n'));
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
