import { defineCommand } from '../command.ts';
import { oneMachine } from '../machine-arguments.ts';
import { renderGrants } from '../render/grants.ts';
import { fromReply } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

export const grants = defineCommand({
  name: 'grants',
  summary: 'Print who has which rights on a machine, beside its owner and the roles.',
  arguments: { NAME: oneMachine },
  options: {},
  examples: [{ line: 'qward grants web', meaning: 'users and groups, with their rights' }],
  async run(context, { arguments: { NAME: name } }) {
    const reply = await withNearestName(context, name, await context.client.call('grants', { name }));
    return fromReply(reply, renderGrants);
  },
});
