import { defineCommand } from '../command.ts';
import { oneMachine } from '../machine-arguments.ts';
import { escapeLines } from '../render/escape.ts';
import { fromReply } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

export const show = defineCommand({
  name: 'show',
  summary: 'Print the definition of a machine.',
  arguments: { NAME: oneMachine },
  options: { full: { kind: 'flag', help: 'With every default, not just what was written.' } },
  examples: [
    { line: 'qward show web', meaning: 'as it was written, comments too' },
    { line: 'qward show web --full', meaning: 'with every default' },
    {
      line: 'qward show web > web.yaml',
      meaning: 'into a file; "qward define --replace web.yaml" takes it back',
    },
  ],
  async run(context, { arguments: { NAME: name }, options: { full } }) {
    const reply = await context.client.call('definition', full ? { name, full } : { name });
    return fromReply(await withNearestName(context, name, reply), ({ source }) => escapeLines(source));
  },
});
