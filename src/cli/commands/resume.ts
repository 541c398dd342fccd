import { defineCommand } from '../command.ts';
import { eachChosen } from '../each-chosen.ts';
import { outcomeLine } from '../each-machine.ts';
import { allMachines, manyMachines } from '../machine-arguments.ts';

export const resume = defineCommand({
  name: 'resume',
  summary: 'Let the virtual CPUs of paused machines go on.',
  arguments: { NAME: manyMachines },
  options: { all: allMachines },
  examples: [
    { line: 'qward resume web', meaning: 'one machine' },
    { line: 'qward resume --all', meaning: 'every machine that is paused' },
  ],
  async run(context, { arguments: { NAME: words }, options: { all } }) {
    return eachChosen(
      context,
      {
        words,
        all,
        concerns: ({ state }) => state === 'paused',
      },
      {
        doing: 'resuming',
        call: (name) => context.client.call('resume', { name }),
        line: outcomeLine,
      },
    );
  },
});
