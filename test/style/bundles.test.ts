/** What goes into the bundles, by esbuild's own account. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { buildPrograms } from '../../scripts/build.ts';

interface Metafile {
  readonly inputs: Readonly<
    Record<string, { readonly imports: readonly { readonly path: string; readonly kind: string }[] }>
  >;
}

const root = resolve(import.meta.dirname, '../..');
const directory = mkdtempSync(join(tmpdir(), 'qward-bundles-'));
before(() => buildPrograms(directory));
after(() => rmSync(directory, { recursive: true }));

const metafile = (program: string): Metafile =>
  JSON.parse(readFileSync(join(directory, `${program}.meta.json`), 'utf8')) as Metafile;

/** What is loaded before any dynamic import. */
function loadedAtStart({ inputs }: Metafile, entry: string): string[] {
  const loaded = new Set([entry]);
  for (const file of loaded)
    for (const { path, kind } of inputs[file]?.imports ?? []) if (kind !== 'dynamic-import') loaded.add(path);
  return [...loaded];
}

test('the broker, which runs as root, contains no npm package', () => {
  const inputs = Object.keys(metafile('qward-broker').inputs);
  assert.ok(inputs.includes('src/broker/main.ts'));
  assert.deepEqual(
    inputs.filter((file) => file.includes('node_modules/')),
    [],
  );
});

test('the broker contains none of the layers that parse what users write', () => {
  const layers = new Set(Object.keys(metafile('qward-broker').inputs).map((file) => file.split('/')[1]));
  for (const layer of ['api', 'cli', 'definition', 'import', 'manager', 'plan', 'qmp'])
    assert.equal(layers.has(layer), false, layer);
});

test('the CLI loads no schema and no package, and little at its start', () => {
  const meta = metafile('qward');
  const packages = Object.keys(meta.inputs).filter((file) => file.includes('node_modules/'));
  assert.deepEqual(
    packages.filter((file) => !file.startsWith('node_modules/ws/')),
    [],
  );
  const start = loadedAtStart(meta, 'src/cli/main.ts');
  assert.ok(start.length < 40, start.join('\n'));
  const modules = start.filter((file) => !file.startsWith('src/')).sort();
  assert.deepEqual(modules, ['node:fs', 'node:net']);
});

test('docs/architecture.md says how many lines run as root', () => {
  const counted: Record<string, number> = {};
  for (const file of Object.keys(metafile('qward-broker').inputs).filter((name) => name.startsWith('src/'))) {
    const layer = file.split('/')[1] ?? '';
    const lines = readFileSync(join(root, file), 'utf8').trimEnd().split('\n').length;
    for (const name of [layer, 'together']) counted[name] = (counted[name] ?? 0) + lines;
  }
  const page = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
  const section = /^## What runs as root\n([\s\S]*?)^## /m.exec(page)?.[1] ?? '';
  const rows = [...section.matchAll(/^\| (\w+) \| (\d+) \|$/gm)].map(([, name = '', lines]) => [
    name,
    Number(lines),
  ]);
  const rounded = Object.entries(counted).map(([name, lines]) => [name, Math.ceil(lines / 100) * 100]);
  assert.deepEqual(Object.fromEntries(rows), Object.fromEntries(rounded));
});
