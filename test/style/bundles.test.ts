/** What goes into the bundles, by esbuild's own account. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { build } from 'esbuild';
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

// yaml: for the files that a definition names, which are claimed when a user defines it. Loaded then only.
test('the CLI loads no schema and no package, and little at its start', () => {
  const meta = metafile('qward');
  const packages = Object.keys(meta.inputs).filter((file) => file.includes('node_modules/'));
  assert.deepEqual(
    packages.filter((file) => !/^node_modules\/(?:ws|yaml)\//.test(file)),
    [],
  );
  const start = loadedAtStart(meta, 'src/cli/main.ts');
  assert.ok(start.length < 40, start.join('\n'));
  const modules = start.filter((file) => !file.startsWith('src/')).sort();
  assert.deepEqual(modules, ['node:fs', 'node:net']);
});

/** All that runs as root may have, data files left out. */
const maxRootLines = 2500;

/**
 * Lines of the broker's code by layer: without types, comments and blank lines, in one form however the sources are laid out,
 * and without what the broker never reaches.
 */
async function rootLines(): Promise<Readonly<Record<string, number>>> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ['src/broker/main.ts'],
    bundle: true,
    platform: 'node',
    target: 'node26',
    format: 'esm',
    legalComments: 'none',
    write: false,
  });
  const counted: Record<string, number> = {};
  let layer: string | undefined;
  for (const line of (outputFiles[0]?.text ?? '').split('\n')) {
    const [, file] = /^\/\/ (\S+)$/.exec(line) ?? [];
    if (file !== undefined) layer = /^src\/(\w+)\/.*\.ts$/.exec(file)?.[1];
    else if (layer !== undefined && line.trim() !== '')
      for (const name of [layer, 'together']) counted[name] = (counted[name] ?? 0) + 1;
  }
  return counted;
}

test('docs/architecture.md says how many lines run as root', async () => {
  const page = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
  const section = /^## What runs as root\n([\s\S]*?)^## /m.exec(page)?.[1] ?? '';
  const rows = [...section.matchAll(/^\| (\w+) \| (\d+) \|$/gm)].map(([, name = '', lines]) => [
    name,
    Number(lines),
  ]);
  const rounded = Object.entries(await rootLines()).map(([name, lines]) => [
    name,
    Math.ceil(lines / 50) * 50,
  ]);
  assert.deepEqual(Object.fromEntries(rows), Object.fromEntries(rounded));
});

test('what runs as root stays small enough to be read', async () => {
  const { together = 0 } = await rootLines();
  assert.ok(together <= maxRootLines, `${together} lines run as root, at most ${maxRootLines} are to`);
});
