/**
 * Builds the npm package of the client: `node scripts/build-client.ts [DIRECTORY]`, by default dist/client, ready for
 * `npm pack`. The code is bundled with `ws`, which is loaded with the first stream. The declarations name no schema
 * library: the types of the calls are written out from the OpenAPI document.
 */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { callDeclarations } from './build/call-declarations.ts';

const root = resolve(import.meta.dirname, '..');
const source = join(root, 'packaging/client');
const entry = 'packaging/client/index';
const calls = 'src/api/calls';

async function bundle(directory: string): Promise<void> {
  await build({
    absWorkingDir: root,
    entryPoints: { index: `${entry}.ts` },
    outdir: join(directory, 'lib'),
    bundle: true,
    splitting: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    minifySyntax: true,
    logLevel: 'warning',
    // ws is CommonJS and requires modules of Node.
    banner: {
      js: 'import { createRequire } from "node:module";\nconst require = createRequire(import.meta.url);',
    },
  });
}

/** Declarations of the entry and everything that it imports, below `directory`. */
async function emitDeclarations(directory: string): Promise<void> {
  const flags = ['--declaration', '--emitDeclarationOnly', '--noEmit', 'false', '--rootDir', root];
  const config = join(directory, 'tsconfig.json');
  const options = { compilerOptions: { noUnusedLocals: false }, files: [join(root, `${entry}.ts`)] };
  await writeFile(config, JSON.stringify({ extends: join(root, 'tsconfig.json'), ...options, include: [] }));
  const types = join(root, 'node_modules/@types');
  await promisify(execFile)(join(root, 'node_modules/.bin/tsc'), [
    '-p',
    config,
    ...flags,
    '--typeRoots',
    types,
    '--outDir',
    directory,
  ]);
}

/** Copies the declarations that the entry reaches, with imports as an installed package has them. */
async function copyReached(from: string, to: string): Promise<void> {
  const waiting = [`${entry}.d.ts`];
  const seen = new Set(waiting);
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    const written = file === `${calls}.d.ts` ? callDeclarations() : await readFile(join(from, file), 'utf8');
    const text = written.replaceAll(/(['"])(\.{1,2}\/[^'"]+)\.ts\1/g, "'$2.js'");
    for (const [, name = ''] of text.matchAll(/'(\.{1,2}\/[^']+)\.js'/g)) {
      const next = relative('/', join('/', dirname(file), `${name}.d.ts`));
      if (!seen.has(next)) waiting.push(next);
      seen.add(next);
    }
    await mkdir(dirname(join(to, file)), { recursive: true });
    await writeFile(join(to, file), text);
  }
}

export async function buildClient(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  await bundle(directory);
  const declarations = await mkdtemp(join(tmpdir(), 'qward-client-types-'));
  try {
    await emitDeclarations(declarations);
    await copyReached(declarations, join(directory, 'types'));
  } finally {
    await rm(declarations, { recursive: true, force: true });
  }
  for (const file of ['package.json', 'README.md', 'example.js'])
    await cp(join(source, file), join(directory, file));
}

if (import.meta.main) {
  const directory = resolve(process.argv[2] ?? join(root, 'dist/client'));
  await buildClient(directory);
  console.log(`built ${directory}; npm pack ${directory} makes the package`);
}
