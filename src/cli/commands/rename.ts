import { defineCommand } from '../command.ts';
import { outcomeLine } from '../each-machine.ts';
import { oneMachine } from '../machine-arguments.ts';
import { fromReply } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

export const rename = defineCommand({
  name: 'rename',
  summary: 'Rename a stopped machine.',
  arguments: { NAME: oneMachine, TO: { help: 'The new name.', complete: 'none' } },
  options: {},
  examples: [{ line: 'qward rename web web-old', meaning: 'its disks stay where they are' }],
  async run(context, { arguments: { NAME: name, TO: to } }) {
    const reply = await withNearestName(
      context,
      name,
      await context.during(`renaming ${name} to ${to}`, context.client.call('rename', { name, to })),
    );
    return fromReply(reply, (result, style) => (context.quiet ? '' : `${outcomeLine(result, style)}\n`));
  },
});
