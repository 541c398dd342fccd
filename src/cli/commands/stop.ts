import { defineCommand } from '../command.ts';
import { eachMachine, outcomeLine } from '../each-machine.ts';
import { allMachines, manyMachines } from '../machine-arguments.ts';
import { failed } from '../results.ts';
import { isAliveSoon, selectMachines } from '../select-machines.ts';

export const stop = defineCommand({
  name: 'stop',
  summary: 'Shut machines down.',
  details:
    'Presses the power button and waits. A guest that has not shut down when its time limit (stop.timeout of the ' +
    'definition) has passed is killed; the answer says which it was. A machine that is stopped already is fine; ' +
    'a restart that it waits for does not come.',
  arguments: { NAME: manyMachines },
  options: {
    all: allMachines,
    timeout: {
      kind: 'duration',
      short: 't',
      value: 'TIME',
      help: 'Time limit instead of that of the definition; 0: kill at once.',
    },
    wait: { kind: 'flag', help: 'Return when the machine has stopped; it is what stop does anyway.' },
  },
  examples: [
    { line: 'qward stop web', meaning: 'one machine' },
    { line: 'qward stop --all --timeout 2m', meaning: 'everything that runs, with two minutes each' },
  ],
  async run(context, { arguments: { NAME: words }, options: { all, timeout } }) {
    const selection = await selectMachines(context, { words, all, concerns: isAliveSoon });
    if (!selection.ok) return failed(selection.faults);
    return eachMachine(context, {
      names: selection.names,
      doing: 'stopping',
      call: (name) =>
        context.client.call('stop', timeout === undefined ? { name } : { name, timeoutMs: timeout }),
      line: outcomeLine,
    });
  },
});
