import { defineCommand } from '../command.ts';
import { eachChosen } from '../each-chosen.ts';
import { outcomeLine } from '../each-machine.ts';
import { allMachines, manyMachines } from '../machine-arguments.ts';

export const discardState = defineCommand({
  name: 'discard-state',
  summary: 'Throw the saved state of machines away.',
  details:
    'What was in the memory of the guest is lost, as by a power cut: what programs had not written to disk yet. The next start\n' +
    'boots. "qward start --fresh" does both.',
  arguments: { NAME: manyMachines },
  options: { all: allMachines },
  examples: [{ line: 'qward discard-state web', meaning: 'web boots at its next start' }],
  async run(context, { arguments: { NAME: words }, options: { all } }) {
    return eachChosen(
      context,
      { words, all, concerns: ({ state }) => state === 'saved' },
      {
        doing: 'discarding the state of',
        call: (name) => context.client.call('discardState', { name }),
        line: outcomeLine,
      },
    );
  },
});
