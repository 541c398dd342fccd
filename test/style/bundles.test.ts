/** What goes into the bundles, by esbuild's own account. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { buildPrograms } from '../../scripts/build.ts';
import { rootLines, sumOf } from '../../scripts/generate/root-lines.ts';

interface Metafile {
  readonly inputs: Readonly<
    Record<string, { readonly imports: readonly { readonly path: string; readonly kind: string }[] }>
  >;
}

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
 * line less. The design aimed at 2500 (docs/decisions/0076). What keeps it above: claims with the rights of users, id-mapped mounts, block devices and
 * LVM, relaxations that the broker itself asks the policy for, threads on their CPUs, image jobs, the drill's jail, hooks, passt's words and packet filter, managed networks, TPMs, PCI devices, shared folders, systemd's scopes, facts for the audit, each with its refusals; none of them is to be left out.
 */
const maxRootLines = 5700;

test('the ways of a session are loaded by the broker of a session alone', () => {
  const { inputs } = metafile('qward-broker');
  const importers = Object.entries(inputs).flatMap(([file, { imports }]) =>
    imports
      .filter(({ path }) => path.startsWith('src/broker/session/') && !file.startsWith('src/broker/session/'))
      .map(({ kind }) => `${file}: ${kind}`),
  );
  assert.deepEqual(importers, ['src/broker/main.ts: dynamic-import']);
});

test('what runs as root stays small enough to be read', async () => {
  const together = sumOf((await rootLines()).values());
  assert.ok(together <= maxRootLines, `${together} lines run as root, at most ${maxRootLines} are to`);
});
