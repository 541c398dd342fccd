import { defineCommand } from '../command.ts';
import { eachMachine, outcomeLine } from '../each-machine.ts';
import { allMachines, manyMachines } from '../machine-arguments.ts';
import { failed } from '../results.ts';
import { selectMachines } from '../select-machines.ts';

export const pause = defineCommand({
  name: 'pause',
  summary: 'Stop the virtual CPUs of machines.',
  arguments: { NAME: manyMachines },
  options: { all: allMachines },
  examples: [
    { line: 'qward pause web', meaning: 'one machine' },
    { line: 'qward pause --all', meaning: 'every machine that runs' },
  ],
  async run(context, { arguments: { NAME: words }, options: { all } }) {
    const selection = await selectMachines(context, {
      words,
      all,
      concerns: ({ state }) => state === 'running',
    });
    if (!selection.ok) return failed(selection.faults);
    return eachMachine(context, {
      names: selection.names,
      doing: 'pausing',
      call: (name) => context.client.call('pause', { name }),
      line: outcomeLine,
    });
  },
});
