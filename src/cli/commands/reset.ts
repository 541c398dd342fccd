import { confirm, nameList } from '../confirm.ts';
import { defineCommand } from '../command.ts';
import { eachMachine, outcomeLine } from '../each-machine.ts';
import { allMachines, manyMachines, withoutAsking } from '../machine-arguments.ts';
import { failed } from '../results.ts';
import { isAlive, selectMachines } from '../select-machines.ts';

export const reset = defineCommand({
  name: 'reset',
  summary: 'Reset machines, like the reset button.',
  arguments: { NAME: manyMachines },
  options: { all: allMachines, yes: withoutAsking },
  examples: [{ line: 'qward reset web', meaning: 'one machine' }],
  async run(context, { arguments: { NAME: words }, options: { all, yes } }) {
    const selection = await selectMachines(context, { words, all, concerns: isAlive });
    if (!selection.ok) return failed(selection.faults);
    const refusal =
      selection.wide && selection.names.length > 0
        ? confirm(context, `Reset ${nameList(selection.names)}?`, yes)
        : undefined;
    if (refusal !== undefined) return refusal;
    return eachMachine(context, {
      names: selection.names,
      doing: 'resetting',
      call: (name) => context.client.call('reset', { name }),
      line: outcomeLine,
    });
  },
});
