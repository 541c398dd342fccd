import type { MachineState } from '../../api/endpoints.ts';
import { defineCommand } from '../command.ts';
import { eachMachine } from '../each-machine.ts';
import { exitStatus } from '../exit-status.ts';
import { allMachines, manyMachines } from '../machine-arguments.ts';
import { renderMachineStatus } from '../render/machine-status.ts';
import { failed } from '../results.ts';
import { selectMachines } from '../select-machines.ts';

const exits: Readonly<Record<MachineState, number>> = {
  running: exitStatus.done,
  stopped: exitStatus.stopped,
  saved: exitStatus.stopped,
  crashed: exitStatus.crashed,
  failed: exitStatus.crashed,
  unreachable: exitStatus.machineUnreachable,
  paused: exitStatus.between,
  starting: exitStatus.between,
  stopping: exitStatus.between,
  saving: exitStatus.between,
};

export const status = defineCommand({
  name: 'status',
  summary: 'Show the state of machines.',
  arguments: { NAME: manyMachines },
  options: { all: allMachines },
  examples: [
    { line: 'qward status web', meaning: 'state, process, audit and how the last run ended' },
    { line: 'qward status web --json | jq .pid', meaning: 'the process id' },
    { line: 'qward status -q web && echo up', meaning: 'the exit status alone' },
  ],
  exits: {
    0: 'running (of several: all of them)',
    10: 'stopped or saved',
    11: 'crashed, or the last start failed',
    12: "running, and QEMU's monitor does not answer",
    13: 'paused, starting, stopping or saving',
  },
  async run(context, { arguments: { NAME: words }, options: { all } }) {
    const selection = await selectMachines(context, { words, all });
    if (!selection.ok) return failed(selection.faults);
    return eachMachine(context, {
      names: selection.names,
      doing: 'asking for',
      call: (name) => context.client.call('status', { name }),
      line: (machine, style) => renderMachineStatus(machine, style, context.io.now()).trimEnd(),
      exit: ({ state }) => exits[state],
    });
  },
});
