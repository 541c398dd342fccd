import { endedStates } from '../../api/endpoints.ts';
import type { CallResult } from '../../api/calls.ts';
import type { Reply } from '../../api/client.ts';
import { defineCommand } from '../command.ts';
import type { Context } from '../context.ts';
import { eachMachine, outcomeLine } from '../each-machine.ts';
import { allMachines, manyMachines } from '../machine-arguments.ts';
import { failed } from '../results.ts';
import { selectMachines } from '../select-machines.ts';

const longestWaitMs = 86_400_000;

/** Starts, and waits until the machine has ended again. */
async function startAndWait(
  context: Context,
  name: string,
  how: { readonly state?: 'discard' },
): Promise<Reply<CallResult<'start'>>> {
  const started = await context.client.call('start', { name, ...how });
  if (!started.ok) return started;
  return context.client.call('wait', {
    name,
    states: [...endedStates],
    timeoutMs: longestWaitMs,
  });
}

export const start = defineCommand({
  name: 'start',
  summary: 'Start machines.',
  details:
    'Returns when the guest runs and every wall around it was proved. A machine that runs already is fine. "qward explain" shows\n' +
    'first what a start would do. A machine that was saved goes on where it was.',
  arguments: { NAME: manyMachines },
  options: {
    all: allMachines,
    paused: { kind: 'flag', help: 'Leave the virtual CPUs stopped; "qward resume" lets them go.' },
    fresh: {
      kind: 'flag',
      help: 'Throw away the saved state, and with it what the guest had in its memory, and boot.',
    },
    wait: { kind: 'flag', help: 'Return when the machine has ended again; status 1 where it crashed.' },
  },
  examples: [
    { line: 'qward start web', meaning: 'one machine' },
    { line: 'qward start "web*" db', meaning: 'several, side by side' },
    { line: 'qward start tag:shop', meaning: 'every machine with a tag' },
  ],
  async run(context, { arguments: { NAME: words }, options: { all, paused, fresh, wait } }) {
    const selection = await selectMachines(context, { words, all });
    if (!selection.ok) return failed(selection.faults);
    const how = { ...(paused ? { paused } : {}), ...(fresh ? { state: 'discard' as const } : {}) };
    return eachMachine(context, {
      memory: !wait,
      names: selection.names,
      doing: wait ? 'waiting for the end of' : 'starting',
      call: (name) =>
        wait ? startAndWait(context, name, how) : context.client.call('start', { name, ...how }),
      line: outcomeLine,
      exit: ({ state }) => (state === 'crashed' || state === 'failed' ? 1 : 0),
    });
  },
});
