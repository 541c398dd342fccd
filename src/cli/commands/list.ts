import { defineCommand } from '../command.ts';
import { machineStates } from '../../api/endpoints.ts';
import { renderMachineList } from '../render/machine-list.ts';
import { listAll } from '../list-all.ts';
import { done, failed, usage } from '../results.ts';
import { matchingMachines } from '../select-machines.ts';

export const list = defineCommand({
  name: 'list',
  summary: 'List machines.',
  details:
    'A "*" behind the state: the definition was changed since the machine was started. -q prints names only.',
  arguments: {
    NAME: {
      help: 'Names, patterns such as "web*", or tag:TAG; none: every machine.',
      complete: 'machine',
      repeated: true,
      optional: true,
    },
  },
  options: {
    state: {
      kind: 'texts',
      short: 's',
      value: 'STATE',
      complete: machineStates,
      help: 'Only machines in this state.',
    },
    allInstances: { kind: 'flag', help: "The host's machines and your own." },
  },
  examples: [
    { line: 'qward list', meaning: 'every machine' },
    { line: 'qward list tag:web --state running', meaning: 'running machines with the tag "web"' },
    { line: 'qward list --all-instances', meaning: "the host's machines and your own" },
    { line: 'qward list -q "db*"', meaning: 'names only, for scripts' },
  ],
  async run(context, { arguments: { NAME: words }, options }) {
    const { allInstances } = options;
    const listing = allInstances ? listAll(context) : context.client.call('list');
    const reply = await context.during('listing machines', listing);
    if (!reply.ok) return failed(reply.faults);
    const states: readonly string[] = options.state;
    const unknown = states.find((state) => !machineStates.some((known) => known === state));
    if (unknown !== undefined)
      return usage(`list: "${unknown}" is not a state; ${machineStates.join(', ')} expected`);
    const machines = reply.result
      .filter(({ state }) => states.length === 0 || states.includes(state))
      .filter(
        (machine) => words.length === 0 || words.some((word) => matchingMachines(word, [machine]).length > 0),
      );
    return done(machines, (style) => {
      if (context.quiet) return machines.map(({ name }) => `${name}\n`).join('');
      if (machines.length > 0) return renderMachineList(machines, style);
      return reply.result.length > 0
        ? 'No machine is like that.\n'
        : 'No machines. Define one: qward define FILE\n';
    });
  },
});
