/** The program `qward`. No top-level await: the bundle is CommonJS, which starts faster (docs/decisions/0015). */
import { processIo } from './io.ts';
import { runCli } from './run.ts';

async function main(): Promise<void> {
  try {
    process.exitCode = await runCli(process.argv.slice(2), processIo());
  } catch (error) {
    // A reader that closed the pipe, `qward list | head -1`, has what it wanted.
    if (!(error instanceof Error && 'code' in error && error.code === 'EPIPE')) throw error;
  }
}

void main();
