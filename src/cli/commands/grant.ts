import { defineCommand } from '../command.ts';
import { parseRights, rightWords } from '../grantable-rights.ts';
import { oneMachine } from '../machine-arguments.ts';
import { renderGrants } from '../render/grants.ts';
import { fromReply, usage } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

export const grant = defineCommand({
  name: 'grant',
  summary: 'Give a user or a group rights on a machine.',
  details:
    'Any right lets the machine be seen. "start" and "stop" mean "operate", which is start, stop, kill, reset, pause and resume. Rights to define and to grant are never given.',
  arguments: {
    NAME: oneMachine,
    WHO: { help: 'A user, or a group as @GROUP.', complete: 'none' },
    RIGHTS: { help: `With commas between: ${rightWords.join(', ')}.`, complete: rightWords },
  },
  options: {},
  examples: [
    { line: 'qward grant web vera start,console', meaning: 'she may start and stop it, and use its console' },
    { line: 'qward grant web @team see', meaning: 'the members of the group may look at it' },
  ],
  async run(context, { arguments: { NAME: name, WHO: who, RIGHTS: words } }) {
    const parsed = parseRights(words);
    if (!parsed.ok) return usage(parsed.message, parsed.hint);
    const call = await context.client.call('grant', { name, who, rights: [...parsed.rights] });
    const reply = await withNearestName(context, name, call);
    return fromReply(reply, (result, style) => (context.quiet ? '' : renderGrants(result, style)));
  },
});
