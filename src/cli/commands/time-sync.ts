import { defineCommand } from '../command.ts';
import { eachChosen } from '../each-chosen.ts';
import { allMachines, manyMachines } from '../machine-arguments.ts';
import { isAlive } from '../select-machines.ts';

export const timeSync = defineCommand({
  name: 'time-sync',
  summary: 'Set the clocks of guests by the one of the host, by their agents.',
  details: 'For guests that were paused, or whose clock runs away.',
  arguments: { NAME: manyMachines },
  options: { all: allMachines },
  examples: [{ line: 'qward time-sync --all', meaning: 'all that run' }],
  async run(context, { arguments: { NAME: words }, options: { all } }) {
    return eachChosen(
      context,
      { words, all, concerns: isAlive },
      {
        doing: 'setting the clock of',
        call: (name) => context.client.call('timeSync', { name }),
        line: ({ name, time }) => `${name}: ${time}`,
      },
    );
  },
});
