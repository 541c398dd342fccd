/** What makes system calls runs under Node: the compiled CLI (docs/decisions/0023) has no FFI to the C library. */
import { dirname, join } from 'node:path';
import type { CommandResult } from './command.ts';
import { failed, printed } from './results.ts';

/** The same words again, by the script that the build put beside the executable. */
export async function runUnderNode(): Promise<CommandResult> {
  const { spawnSync } = await import('node:child_process');
  const script = join(dirname(process.execPath), 'qward-host');
  const { status, error } = spawnSync(script, process.argv.slice(2), { stdio: 'inherit' });
  if (error === undefined) return printed(status ?? 1);
  const hint = 'reinstall qward: the script and the executable `qward` belong together';
  return failed([{ message: `${script} cannot be run: ${error.message}`, hint }], 1);
}
