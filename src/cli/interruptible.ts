/** Work that ends with the command: what ends the command is told to the work, which then leaves nothing half-done. */
import type { CommandResult } from './command.ts';
import { failed } from './results.ts';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** `nothingLeft` is what is said of an interruption that came out of the work as an error. */
export async function interruptible(
  work: (signal: AbortSignal) => Promise<CommandResult>,
  nothingLeft = 'interrupted: nothing of it is left',
): Promise<CommandResult> {
  const ending = new AbortController();
  const interrupt = (): void => ending.abort();
  for (const signal of signals) process.once(signal, interrupt);
  try {
    return await work(ending.signal);
  } catch (error) {
    if (ending.signal.aborted) return failed([{ message: nothingLeft, hint: '' }], 130);
    throw error;
  } finally {
    for (const signal of signals) process.off(signal, interrupt);
  }
}
