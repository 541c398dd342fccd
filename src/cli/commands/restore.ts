import { defineCommand } from '../command.ts';
import { eachChosen } from '../each-chosen.ts';
import { outcomeLine } from '../each-machine.ts';
import { allMachines, manyMachines } from '../machine-arguments.ts';

export const restore = defineCommand({
  name: 'restore',
  summary: 'Let saved machines go on where they were.',
  details:
    'As "qward start" does with a saved machine, and refuses one that is not saved. Every wall is proved before QEMU reads the first\n' +
    'byte of the state. A state that does not fit, or is damaged, is kept, and the disks are not touched. A guest that was paused\n' +
    'stays so.',
  arguments: { NAME: manyMachines },
  options: {
    all: allMachines,
    paused: { kind: 'flag', help: 'Leave the virtual CPUs stopped; "qward resume" lets them go.' },
  },
  examples: [
    { line: 'qward restore web', meaning: 'one machine' },
    { line: 'qward restore --all', meaning: 'every machine that is saved' },
  ],
  async run(context, { arguments: { NAME: words }, options: { all, paused } }) {
    return eachChosen(
      context,
      { words, all, concerns: ({ state }) => state === 'saved' },
      {
        doing: 'restoring',
        memory: true,
        call: (name) => context.client.call('start', { name, paused, state: 'require' }),
        line: outcomeLine,
      },
    );
  },
});
