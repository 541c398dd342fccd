/** One call for each of the machines that words, patterns or --all choose. */
import type { CommandResult } from './command.ts';
import type { Context } from './context.ts';
import { eachMachine, type EachOptions } from './each-machine.ts';
import { failed } from './results.ts';
import { selectMachines } from './select-machines.ts';

export async function eachChosen<Result>(
  context: Context,
  wanted: Parameters<typeof selectMachines>[1],
  options: Omit<EachOptions<Result>, 'names'>,
): Promise<CommandResult> {
  const selection = await selectMachines(context, wanted);
  if (!selection.ok) return failed(selection.faults);
  return eachMachine(context, { names: selection.names, ...options });
}
