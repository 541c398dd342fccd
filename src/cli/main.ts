/** The program `qward`. No top-level await: the bundle is CommonJS, which starts faster (docs/decisions/0015). */
import { processIo } from './io.ts';
import { runCli } from './run.ts';

async function main(): Promise<void> {
  try {
    // All was written synchronously: nothing is lost by leaving at once, and a guest that has just begun to boot does not
    // hold up the tear-down of this process's threads.
    process.exit(await runCli(process.argv.slice(2), processIo()));
  } catch (error) {
    // A reader that closed the pipe, `qward list | head -1`, has what it wanted.
    if (!(error instanceof Error && 'code' in error && error.code === 'EPIPE')) throw error;
  }
}

void main();
