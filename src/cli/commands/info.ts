import { defineCommand } from '../command.ts';
import { escapeLine } from '../render/escape.ts';
import { renderFields } from '../render/table.ts';
import { fromReply } from '../results.ts';

export const info = defineCommand({
  name: 'info',
  summary: 'Show the manager, and who you are to it.',
  arguments: {},
  options: {},
  examples: [{ line: 'qward info', meaning: 'version, instance, your role' }],
  async run(context) {
    return fromReply(await context.client.call('info'), (result, style) => {
      const { version, instance, user, uid, role, machines, running } = result;
      const fields = renderFields(
        [
          ['socket', escapeLine(context.client.socketPath)],
          ['you', escapeLine(`${user} (uid ${uid}), ${role}`)],
          ['machines', `${machines}, ${running} running`],
        ],
        style,
      );
      return `${style.bold(`qward ${escapeLine(version)}`)}  ${instance} instance\n${fields}`;
    });
  },
});
