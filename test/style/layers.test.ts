/** Holds every import in src/ against layers.json. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';

interface Layers {
  readonly may: Readonly<Record<string, readonly string[]>>;
  readonly pure: readonly string[];
  readonly packages: Readonly<Record<string, readonly string[]>>;
}

const root = resolve(import.meta.dirname, '../..');
const layers = JSON.parse(readFileSync(join(root, 'test/style/layers.json'), 'utf8')) as Layers;

function sources(): string[] {
  return readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => join(root, 'src', file));
}

function imports(text: string): string[] {
  const statement =
    /^(?:import|export)\s+(?:type\s+)?(?:[\w*{][^'";]*?\sfrom\s+)?'([^']+)';|\bimport\('([^']+)'\)/gm;
  return [...text.matchAll(statement)].map((match) => match[1] ?? match[2] ?? '');
}

const layerOf = (file: string): string => relative(join(root, 'src'), file).split('/')[0] ?? '';

test('every import follows the table of layers', () => {
  const wrong: string[] = [];
  for (const file of sources()) {
    const layer = layerOf(file);
    const may = layers.may[layer];
    assert.ok(
      may !== undefined,
      `${relative(root, file)}: folder "${layer}" is not in test/style/layers.json`,
    );
    for (const name of imports(readFileSync(file, 'utf8'))) {
      if (name.startsWith('.')) {
        const target = layerOf(resolve(dirname(file), name));
        // What tests share lies outside src/.
        if (target === '..' && file.endsWith('.test.ts')) continue;
        if (target !== layer && !may.includes(target))
          wrong.push(`${relative(root, file)} imports ${target}`);
      } else if (!name.startsWith('node:')) {
        if (file.endsWith('.test.ts')) continue;
        if (!(layers.packages[layer] ?? []).includes(name))
          wrong.push(`${relative(root, file)} imports the package ${name}`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});

test('pure layers touch neither files, processes nor the network', () => {
  const wrong: string[] = [];
  for (const file of sources().filter(
    (path) => layers.pure.includes(layerOf(path)) && !path.endsWith('.test.ts'),
  )) {
    for (const name of imports(readFileSync(file, 'utf8'))) {
      if (name.startsWith('node:') && !['node:path', 'node:crypto'].includes(name))
        wrong.push(`${relative(root, file)} imports ${name}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('only linux/ has FFI', () => {
  const wrong = sources().filter(
    (file) => layerOf(file) !== 'linux' && imports(readFileSync(file, 'utf8')).includes('node:ffi'),
  );
  assert.deepEqual(wrong, []);
});

test('the table in docs/architecture.md is that of layers.json, for the folders that there are', () => {
  const page = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
  const section = /^## Layers\n([\s\S]*?)^## /m.exec(page)?.[1] ?? '';
  const written = [...section.matchAll(/^\| `(\w+)` \|.*\| ([^|]+) \|$/gm)].map(([, name = '', may = '']) => {
    const [layersNamed = ''] = may.split(';');
    return [name, layersNamed === 'nothing' ? [] : layersNamed.split(', ').toSorted()];
  });
  const folders = new Set(sources().map(layerOf));
  const table = Object.entries(layers.may)
    .filter(([name]) => folders.has(name))
    .map(([name, may]) => [name, may.filter((one) => folders.has(one)).toSorted()]);
  assert.deepEqual(Object.fromEntries(written), Object.fromEntries(table));
});
