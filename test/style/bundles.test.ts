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

// yaml: for the files that a definition names, which are claimed when a user defines it. zod, saxes: for import and export.
// All of them are loaded then only.
test('the CLI loads no schema and no package at its start, and little else', () => {
  const meta = metafile('qward');
  const packages = Object.keys(meta.inputs).filter((file) => file.includes('node_modules/'));
  assert.deepEqual(
    packages.filter((file) => !/(?:^|\/)node_modules\/(?:ws|yaml|zod|saxes|xmlchars)\//.test(file)),
    [],
  );
  const start = loadedAtStart(meta, 'src/cli/main.ts');
  assert.ok(start.length < 40, start.join('\n'));
  const modules = start.filter((file) => !file.startsWith('src/')).sort();
  assert.deepEqual(modules, ['node:fs', 'node:net']);
});

/**
 * All that runs as root may have, data files left out: a ratchet, the next fifty above what there is; set it lower with every
 * line less. The design aims at 2500. What keeps it above: claims with the rights of users, id-mapped mounts, block devices and
 * LVM, relaxations that the broker itself asks the policy for, threads on their CPUs, image jobs, the drill's jail, hooks, passt's words and packet filter, managed networks, TPMs, PCI devices, shared folders, systemd's scopes, facts for the audit, each with its refusals; none of them is to be left out.
 */
const maxRootLines = 5690;

interface RootLines {
  readonly layers: Readonly<Record<string, number>>;
  /** By path beneath src. */
  readonly files: Readonly<Record<string, number>>;
}

/**
 * Lines of the broker's code by layer and by file: without types, comments and blank lines, in one form however the sources are laid out,
 * and without what the broker never reaches.
 */
async function rootLines(): Promise<RootLines> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: ['src/broker/main.ts'],
    bundle: true,
    platform: 'node',
    target: 'node26',
    format: 'esm',
    legalComments: 'none',
    // What a session's broker has of its own: main.ts loads it for --session alone, and then refuses root (the next test).
    external: ['./session/*'],
    write: false,
  });
  const layers: Record<string, number> = {};
  const files: Record<string, number> = {};
  let source: string | undefined;
  for (const line of (outputFiles[0]?.text ?? '').split('\n')) {
    const [, file] = /^\/\/ (\S+)$/.exec(line) ?? [];
    if (file !== undefined) source = /^src\/(\w+\/.*\.ts)$/.exec(file)?.[1];
    else if (source !== undefined && line.trim() !== '') {
      files[source] = (files[source] ?? 0) + 1;
      for (const name of [source.split('/')[0] ?? '', 'together']) layers[name] = (layers[name] ?? 0) + 1;
    }
  }
  return { layers, files };
}

test('the ways of a session are loaded by the broker of a session alone', () => {
  const { inputs } = metafile('qward-broker');
  const importers = Object.entries(inputs).flatMap(([file, { imports }]) =>
    imports
      .filter(({ path }) => path.startsWith('src/broker/session/') && !file.startsWith('src/broker/session/'))
      .map(({ kind }) => `${file}: ${kind}`),
  );
  assert.deepEqual(importers, ['src/broker/main.ts: dynamic-import']);
});

test('docs/architecture.md says how many lines run as root', async () => {
  const page = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
  const section = /^## What runs as root\n([\s\S]*?)^## /m.exec(page)?.[1] ?? '';
  const rows = [...section.matchAll(/^\| (\w+) \| (\d+) \|$/gm)].map(([, name = '', lines]) => [
    name,
    Number(lines),
  ]);
  const { layers, files } = await rootLines();
  const rounded = Object.entries(layers).map(([name, lines]) => [name, Math.ceil(lines / 50) * 50]);
  assert.deepEqual(Object.fromEntries(rows), Object.fromEntries(rounded));
  const named = [...section.matchAll(/^\| `([^`]+)` \| /gm)].map(([, file = '']) => file);
  const largest = Object.entries(files).toSorted(([, left], [, right]) => right - left);
  // Some more than are named, so that a line here or there changes no page.
  const candidates = new Set(largest.slice(0, 14).map(([file]) => file));
  assert.equal(named.length, 10);
  assert.deepEqual(
    named.filter((file) => !candidates.has(file)),
    [],
  );
});

test('what runs as root stays small enough to be read', async () => {
  const { together = 0 } = (await rootLines()).layers;
  assert.ok(together <= maxRootLines, `${together} lines run as root, at most ${maxRootLines} are to`);
});
