/**
 * Bundles the three programs: `node scripts/build.ts [DIRECTORY]`, by default dist/. Each is one CommonJS file: it starts
 * several milliseconds faster than an ES module, and what it requires it requires only where it runs. Beside each lies
 * esbuild's metafile, which says what went into it: tests read it. The CLI is compiled to an executable as well.
 */
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { daemonNodeOptions } from '../src/linux/daemon-program.ts';
import { compileProgram } from './build/compile.ts';
import { wrapperScript, type Program } from './build/wrapper.ts';

const root = resolve(import.meta.dirname, '..');

const programs: readonly Program[] = [
  // A short command ends before its garbage is worth collecting: a larger young generation spares it 3 ms.
  // Under Node it is only what makes system calls: `qward host`.
  {
    name: 'qward',
    entry: 'src/cli/main.ts',
    script: 'qward-host',
    nodeOptions: ['--min-semi-space-size=16'],
  },
  {
    name: 'qward-manager',
    entry: 'src/manager/main.ts',
    script: 'qward-manager',
    nodeOptions: daemonNodeOptions.manager,
  },
  {
    name: 'qward-broker',
    entry: 'src/broker/main.ts',
    script: 'qward-broker',
    nodeOptions: daemonNodeOptions.broker,
  },
];

/** Code of the manager's that runs in a thread of its own, beside its bundle. */
const threads: readonly Pick<Program, 'name' | 'entry'>[] = [
  { name: 'qward-history', entry: 'src/manager/history/thread.ts' },
];

/** Writes DIRECTORY/NAME.js and NAME.meta.json. */
async function bundle({ name, entry }: Pick<Program, 'name' | 'entry'>, directory: string): Promise<void> {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile: join(directory, `${name}.js`),
    bundle: true,
    platform: 'node',
    target: 'node26',
    format: 'cjs',
    define: { 'import.meta.url': 'importMetaUrl' },
    banner: { js: 'const importMetaUrl = require("node:url").pathToFileURL(__filename).href;' },
    minifySyntax: true,
    // The daemons hold their source in memory: without comments and indents half of it, and with not one character beyond ASCII
    // (comments have some) a byte each in place of two. Lines stay short enough for a stack trace to point at.
    minifyWhitespace: true,
    lineLimit: 120,
    // The package has the licences of all that is bundled as a document.
    legalComments: 'none',
    metafile: true,
    logLevel: 'warning',
  });
  await writeFile(join(directory, `${name}.meta.json`), JSON.stringify(metafile));
  const bytes = Object.values(metafile.outputs).reduce((sum, output) => sum + output.bytes, 0);
  console.log(`built ${name}.js, ${Math.round(bytes / 1024)} KiB`);
}

/** The bundle, and bin/SCRIPT that runs it. */
async function buildProgram(program: Program, directory: string): Promise<void> {
  await bundle(program, directory);
  const wrapper = join(directory, 'bin', program.script);
  await writeFile(wrapper, wrapperScript(program));
  await chmod(wrapper, 0o755);
}

export async function buildPrograms(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(join(directory, 'bin'), { recursive: true });
  await writeFile(join(directory, 'package.json'), '{"type":"commonjs"}\n');
  for (const program of programs) await buildProgram(program, directory);
  for (const thread of threads) await bundle(thread, directory);
  await compileProgram(join(directory, 'qward.js'), join(directory, 'bin/qward'));
  console.log('built bin/qward');
}

if (import.meta.main) await buildPrograms(resolve(process.argv[2] ?? join(root, 'dist')));
