import { defineCommand } from '../command.ts';
import { eachChosen } from '../each-chosen.ts';
import { outcomeLine } from '../each-machine.ts';
import { allMachines, manyMachines } from '../machine-arguments.ts';

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
    return eachChosen(
      context,
      {
        words,
        all,
        concerns: ({ state }) => state === 'running',
      },
      {
        doing: 'pausing',
        call: (name) => context.client.call('pause', { name }),
        line: outcomeLine,
      },
    );
  },
});
