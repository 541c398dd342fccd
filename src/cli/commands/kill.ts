import { confirm, nameList } from '../confirm.ts';
import { defineCommand } from '../command.ts';
import { eachMachine, outcomeLine } from '../each-machine.ts';
import { allMachines, manyMachines, withoutAsking } from '../machine-arguments.ts';
import { failed } from '../results.ts';
import { isAliveSoon, selectMachines } from '../select-machines.ts';

export const kill = defineCommand({
  name: 'kill',
  summary: 'End machines at once.',
  details: 'Like pulling the plug: the guest has no chance to write what it holds in memory.',
  arguments: { NAME: manyMachines },
  options: { all: allMachines, yes: withoutAsking },
  examples: [
    { line: 'qward kill web', meaning: 'one machine' },
    { line: 'qward kill --all --yes', meaning: 'everything that runs, without being asked' },
  ],
  async run(context, { arguments: { NAME: words }, options: { all, yes } }) {
    const selection = await selectMachines(context, { words, all, concerns: isAliveSoon });
    if (!selection.ok) return failed(selection.faults);
    const refusal =
      selection.wide && selection.names.length > 0
        ? confirm(context, `Kill ${nameList(selection.names)}?`, yes)
        : undefined;
    if (refusal !== undefined) return refusal;
    return eachMachine(context, {
      names: selection.names,
      doing: 'killing',
      call: (name) => context.client.call('kill', { name }),
      line: outcomeLine,
    });
  },
});
