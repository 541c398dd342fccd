import { defineCommand } from '../command.ts';
import { oneMachine } from '../machine-arguments.ts';
import { escapeLine } from '../render/escape.ts';
import { fromReply } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

export const guest = defineCommand({
  name: 'guest',
  summary: 'Show what the agent in a guest says of itself and its system.',
  details: 'Nothing of it is proved: it is the word of the guest.',
  arguments: { NAME: oneMachine },
  options: {},
  examples: [{ line: 'qward guest web', meaning: 'name, system and agent' }],
  async run(context, { arguments: { NAME: name } }) {
    const reply = await context.during(`asking ${name}`, context.client.call('guest', { name }));
    return fromReply(await withNearestName(context, name, reply), (told) =>
      [
        ['agent', told.agent],
        ['host name', told.hostName ?? 'not told'],
        ['system', told.system ?? 'not told'],
        ['kernel', told.kernel ?? 'not told'],
        ['file systems', told.frozen === null ? 'not told' : told.frozen ? 'frozen' : 'thawed'],
      ]
        .map(([key = '', value = '']) => `${key.padEnd(14)}${escapeLine(value)}\n`)
        .join(''),
    );
  },
});
