import { defineCommand } from '../command.ts';
import { parseRights, rightWords } from '../grantable-rights.ts';
import { oneMachine } from '../machine-arguments.ts';
import { renderGrants } from '../render/grants.ts';
import { fromReply, usage } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

export const revoke = defineCommand({
  name: 'revoke',
  summary: 'Take rights on a machine back from a user or a group.',
  details: 'A console that is open ends with the right to it.',
  arguments: {
    NAME: oneMachine,
    WHO: { help: 'A user, or a group as @GROUP.', complete: 'none' },
    RIGHTS: {
      help: `With commas between: ${rightWords.join(', ')}; none: all of them.`,
      complete: rightWords,
      optional: true,
    },
  },
  options: {},
  examples: [
    { line: 'qward revoke web vera console', meaning: 'she keeps the others' },
    { line: 'qward revoke web @team', meaning: 'all rights of the group' },
  ],
  async run(context, { arguments: { NAME: name, WHO: who, RIGHTS: words } }) {
    const parsed = words === undefined ? undefined : parseRights(words);
    if (parsed?.ok === false) return usage(parsed.message, parsed.hint);
    const rights = parsed === undefined ? {} : { rights: [...parsed.rights] };
    const call = await context.client.call('revoke', { name, who, ...rights });
    const reply = await withNearestName(context, name, call);
    return fromReply(reply, (result, style) => (context.quiet ? '' : renderGrants(result, style)));
  },
});
