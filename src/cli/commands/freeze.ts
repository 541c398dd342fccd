import { defineCommand } from '../command.ts';
import { eachChosen } from '../each-chosen.ts';
import { allMachines, manyMachines } from '../machine-arguments.ts';
import { isAlive } from '../select-machines.ts';

export const freeze = defineCommand({
  name: 'freeze',
  summary: 'Freeze the file systems of guests, by their agents.',
  details:
    'Until `qward thaw` programs in the guest that write wait, and what is on its disks is whole: the moment for a copy of them.',
  arguments: { NAME: manyMachines },
  options: { all: allMachines },
  examples: [{ line: 'qward freeze web', meaning: 'before a copy of its disks' }],
  async run(context, { arguments: { NAME: words }, options: { all } }) {
    return eachChosen(
      context,
      { words, all, concerns: isAlive },
      {
        doing: 'freezing',
        call: (name) => context.client.call('freeze', { name }),
        line: ({ name, fileSystems }) => `${name}: ${fileSystems} file systems frozen`,
      },
    );
  },
});
