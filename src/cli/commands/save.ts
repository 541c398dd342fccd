import { defineCommand } from '../command.ts';
import { eachChosen } from '../each-chosen.ts';
import { outcomeLine } from '../each-machine.ts';
import { allMachines, manyMachines } from '../machine-arguments.ts';

export const save = defineCommand({
  name: 'save',
  summary: 'Save machines with their memory; the next start goes on there.',
  details:
    "The guest is stopped, its memory is written to a file of qward's, compressed and with a checksum, and then QEMU is ended.\n" +
    'A guest that cannot be saved goes on as it was. While a state is kept its disks must stay as they are: a state whose disks\n' +
    'were written to is not resumed. Connections of user networks end.',
  arguments: { NAME: manyMachines },
  options: { all: allMachines },
  examples: [
    { line: 'qward save web', meaning: 'one machine' },
    { line: 'qward save --all && qward start "*"', meaning: 'all that run, and on again' },
  ],
  async run(context, { arguments: { NAME: words }, options: { all } }) {
    return eachChosen(
      context,
      { words, all, concerns: ({ state }) => state === 'running' || state === 'paused' },
      {
        doing: 'saving',
        memory: true,
        call: (name) => context.client.call('save', { name }),
        line: outcomeLine,
      },
    );
  },
});
