import { defineCommand } from '../command.ts';
import { eachMachine, outcomeLine } from '../each-machine.ts';
import { allMachines, manyMachines } from '../machine-arguments.ts';
import { failed } from '../results.ts';
import { selectMachines } from '../select-machines.ts';

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
    const selection = await selectMachines(context, {
      words,
      all,
      concerns: ({ state }) => state === 'paused',
    });
    if (!selection.ok) return failed(selection.faults);
    return eachMachine(context, {
      names: selection.names,
      doing: 'resuming',
      call: (name) => context.client.call('resume', { name }),
      line: outcomeLine,
    });
  },
});
