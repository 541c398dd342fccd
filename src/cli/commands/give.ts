import { defineCommand } from '../command.ts';
import { outcomeLine } from '../each-machine.ts';
import { oneMachine } from '../machine-arguments.ts';
import { fromReply } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

export const give = defineCommand({
  name: 'give',
  summary: 'Give a stopped machine to another owner.',
  details:
    'For administrators. What the owner before granted to others ends, and files that only that owner claimed are not opened any more: the new owner claims them with "qward edit" or "qward apply".',
  arguments: { NAME: oneMachine, USER: { help: 'The new owner.', complete: 'none' } },
  options: {},
  examples: [{ line: 'sudo qward give web vera', meaning: 'it is hers from now on' }],
  async run(context, { arguments: { NAME: name, USER: to } }) {
    const reply = await withNearestName(
      context,
      name,
      await context.during(`giving ${name} to ${to}`, context.client.call('give', { name, to })),
    );
    return fromReply(reply, (result, style) => (context.quiet ? '' : `${outcomeLine(result, style)}\n`));
  },
});
