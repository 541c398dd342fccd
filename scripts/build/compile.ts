/** Compiles the bundled CLI to an executable of its own: it starts 15 to 25 ms faster than Node (docs/decisions/0023). */
import { execFile } from 'node:child_process';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const root = resolve(import.meta.dirname, '../..');
const compiler = join(root, 'node_modules/@oven/bun-linux-x64-baseline/bin/bun');

/** Writes the executable `target` from one CommonJS file. Throws with what the compiler said. */
export async function compileProgram(bundle: string, target: string): Promise<void> {
  await promisify(execFile)(compiler, [
    'build',
    bundle,
    '--compile',
    '--bytecode',
    '--minify',
    // SECURITY: promise 1. root runs the CLI in any directory: no file that lies there is configuration of the runtime.
    '--no-compile-autoload-dotenv',
    '--no-compile-autoload-bunfig',
    '--outfile',
    target,
  ]);
}
