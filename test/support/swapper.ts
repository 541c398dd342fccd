/** Two names that a process of their own swaps all the time, as long as the test holds it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

export interface Swapper extends AsyncDisposable {
  readonly goesOn: () => boolean;
}

/** Resolves once it swaps. */
export async function startSwapper(one: string, other: string): Promise<Swapper> {
  const program = join(import.meta.dirname, 'swapping.ts');
  const options = ['--disable-warning=ExperimentalWarning', '--experimental-ffi'];
  const child = spawn(process.execPath, [...options, program, one, other], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return {
    goesOn: () => child.exitCode === null && child.signalCode === null,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}
