import { defineCommand } from '../command.ts';
import { exitOfFaults } from '../exit-status.ts';
import { oneMachine } from '../machine-arguments.ts';
import { renderDrill } from '../render/drill.ts';
import { done, failed } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

const couldNotRun = 2;

export const drill = defineCommand({
  name: 'drill',
  summary: "Try to break out of a machine's jail.",
  details:
    "Puts a prober in QEMU's place in the jail of a stopped machine: the same uid, files, devices, namespaces, limits and " +
    'filters. It tries to get out in every way that it knows. Each attempt is made outside of the jail as well, where it ' +
    'must succeed: only then a blocked one means something.',
  arguments: { NAME: oneMachine },
  options: {},
  examples: [
    { line: 'qward drill web', meaning: 'every attempt, and what stopped it' },
    { line: 'qward drill web --json', meaning: 'the same for a program' },
  ],
  exits: {
    0: 'every attempt was blocked',
    1: 'something got through, or a control failed',
    2: 'could not run (also: usage)',
  },
  async run(context, { arguments: { NAME: name } }) {
    const called = context.during(`trying to break out of ${name}`, context.client.call('drill', { name }));
    const reply = await withNearestName(context, name, await called);
    if (reply.ok)
      return done(reply.result, (style) => renderDrill(reply.result, style), reply.result.ok ? 0 : 1);
    const exit = exitOfFaults(reply.faults);
    return failed(reply.faults, exit === 1 ? couldNotRun : exit);
  },
});
