import type { MachineState } from '../../api/endpoints.ts';
import { endedStates, machineStates } from '../../api/endpoints.ts';
import { defineCommand } from '../command.ts';
import { eachMachine, outcomeLine } from '../each-machine.ts';
import { allMachines, manyMachines } from '../machine-arguments.ts';
import { failed, usage } from '../results.ts';
import { selectMachines } from '../select-machines.ts';

const isState = (word: string): word is MachineState => machineStates.some((state) => state === word);
const defaultTimeoutMs = 60_000;

export const wait = defineCommand({
  name: 'wait',
  summary: 'Wait until machines are in a state.',
  arguments: { NAME: manyMachines },
  options: {
    all: allMachines,
    for: {
      kind: 'texts',
      value: 'STATE',
      complete: machineStates,
      help: 'The state; several times for any of several. Default: ended in any way (stopped, crashed, failed).',
    },
    timeout: {
      kind: 'duration',
      short: 't',
      value: 'TIME',
      help: 'Give up after this time, with status 1. Default: 60s.',
    },
  },
  examples: [
    { line: 'qward wait web', meaning: 'until it has ended' },
    { line: 'qward wait --all --for running --timeout 2m', meaning: 'until everything runs' },
  ],
  async run(context, { arguments: { NAME: words }, options }) {
    const wanted = options.for.filter(isState);
    if (wanted.length < options.for.length)
      return usage(`wait: --for takes one of ${machineStates.join(', ')}`);
    const selection = await selectMachines(context, { words, all: options.all });
    if (!selection.ok) return failed(selection.faults);
    const states = [...(wanted.length === 0 ? endedStates : wanted)];
    return eachMachine(context, {
      names: selection.names,
      doing: 'waiting for',
      call: (name) =>
        context.client.call('wait', { name, states, timeoutMs: options.timeout ?? defaultTimeoutMs }),
      line: outcomeLine,
    });
  },
});
