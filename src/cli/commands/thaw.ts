import { defineCommand } from '../command.ts';
import { eachChosen } from '../each-chosen.ts';
import { allMachines, manyMachines } from '../machine-arguments.ts';
import { isAlive } from '../select-machines.ts';

export const thaw = defineCommand({
  name: 'thaw',
  summary: 'Thaw the file systems of guests, by their agents.',
  details: 'Ends what `qward freeze` began.',
  arguments: { NAME: manyMachines },
  options: { all: allMachines },
  examples: [{ line: 'qward thaw web', meaning: 'after a copy of its disks' }],
  async run(context, { arguments: { NAME: words }, options: { all } }) {
    return eachChosen(
      context,
      { words, all, concerns: isAlive },
      {
        doing: 'thawing',
        call: (name) => context.client.call('thaw', { name }),
        line: ({ name, fileSystems }) => `${name}: ${fileSystems} file systems thawed`,
      },
    );
  },
});
