import { confirm, nameList } from '../confirm.ts';
import { defineCommand } from '../command.ts';
import { eachMachine } from '../each-machine.ts';
import { allMachines, manyMachines, withoutAsking } from '../machine-arguments.ts';
import { escapeLine } from '../render/escape.ts';
import { failed } from '../results.ts';
import { selectMachines } from '../select-machines.ts';

export const rm = defineCommand({
  name: 'rm',
  summary: 'Remove definitions; disks are kept.',
  details: 'Asks before it removes disks, or machines that were not named one by one.',
  arguments: { NAME: manyMachines },
  options: {
    all: allMachines,
    disks: { kind: 'flag', help: 'Remove the images of writable disks too. They are gone for good.' },
    force: {
      kind: 'flag',
      short: 'f',
      help: 'Kill the machine first if it runs; throw its saved state away.',
    },
    yes: withoutAsking,
  },
  examples: [
    { line: 'qward rm web', meaning: 'the definition; its disks are listed' },
    { line: 'qward rm --disks --yes "test-*"', meaning: 'disks too, without being asked' },
  ],
  async run(context, { arguments: { NAME: words }, options: { all, disks, force, yes } }) {
    const selection = await selectMachines(context, { words, all });
    if (!selection.ok) return failed(selection.faults);
    const { names, wide } = selection;
    const what = disks ? `Remove ${nameList(names)} and the disks?` : `Remove ${nameList(names)}?`;
    const refusal = names.length > 0 && (wide || disks) ? confirm(context, what, yes) : undefined;
    if (refusal !== undefined) return refusal;
    return eachMachine(context, {
      names,
      doing: 'removing',
      call: (name) =>
        context.client.call('remove', {
          name,
          ...(disks ? { disks } : {}),
          ...(force ? { force } : {}),
        }),
      line: (result, style) => {
        const lists = [
          ...result.removedDisks.map((path) => `  removed ${escapeLine(path)}`),
          ...result.keptDisks.map((path) => style.dim(`  kept ${escapeLine(path)}`)),
        ];
        return [`${style.bold(escapeLine(result.name))}: ${escapeLine(result.outcome)}`, ...lists].join('\n');
      },
    });
  },
});
