import { defineCommand } from '../command.ts';
import { eachMachine } from '../each-machine.ts';
import { allMachines, manyMachines } from '../machine-arguments.ts';
import { failed } from '../results.ts';
import { isAlive, selectMachines } from '../select-machines.ts';

export const thaw = defineCommand({
  name: 'thaw',
  summary: 'Thaw the file systems of guests, by their agents.',
  details: 'Ends what `qward freeze` began.',
  arguments: { NAME: manyMachines },
  options: { all: allMachines },
  examples: [{ line: 'qward thaw web', meaning: 'after a copy of its disks' }],
  async run(context, { arguments: { NAME: words }, options: { all } }) {
    const selection = await selectMachines(context, { words, all, concerns: isAlive });
    if (!selection.ok) return failed(selection.faults);
    return eachMachine(context, {
      names: selection.names,
      doing: 'thawing',
      call: (name) => context.client.call('thaw', { name }),
      line: ({ name, fileSystems }) => `${name}: ${fileSystems} file systems thawed`,
    });
  },
});
