import { existsSync } from 'node:fs';
import type { CallResult } from '../../api/calls.ts';
import { instancesFile } from '../../protocol/paths.ts';
import { defineCommand } from '../command.ts';
import type { Context } from '../context.ts';
import { defaultInstance } from '../instance.ts';
import { formatBytes } from '../render/sizes.ts';
import { escapeLine } from '../render/escape.ts';
import { renderFields } from '../render/table.ts';
import { fromReply } from '../results.ts';

type Quota = CallResult<'info'>['quota'];

const sizes = new Set<keyof NonNullable<Quota>['used']>(['memory', 'disk']);

/** What is used of each bound. */
function quotaFields(quota: Quota): [string, string][] {
  if (quota === null) return [];
  const shown = (['machines', 'cpus', 'memory', 'disk'] as const).flatMap((key) => {
    const [used, most] = [quota.used[key], quota.most[key]];
    const text = (value: number): string => (sizes.has(key) ? formatBytes(value) : String(value));
    return most === null ? [] : [`${key} ${text(used)} of ${text(most)}`];
  });
  return [['quota', escapeLine(`${shown.join(', ')} (${quota.rule})`)]];
}

/** What is meant where nobody says. Of another host that is its own to say. */
async function shownDefault({ remote }: Context): Promise<[string, string][]> {
  if (remote !== undefined) return [];
  const meant = await defaultInstance();
  const why = existsSync(instancesFile) ? instancesFile : `there is no ${instancesFile}`;
  const text = typeof meant === 'string' ? `${meant} instance (${why})` : meant.fault.message;
  return [['default', escapeLine(text)]];
}

export const info = defineCommand({
  name: 'info',
  summary: 'Show the manager, and who you are to it.',
  arguments: {},
  options: {},
  examples: [{ line: 'qward info', meaning: 'version, instance, your role' }],
  async run(context) {
    const meant = await shownDefault(context);
    return fromReply(await context.client.call('info'), (result, style) => {
      const { version, instance, user, uid, role, machines, running, quota } = result;
      const fields = renderFields(
        [
          [context.remote === undefined ? 'socket' : 'host', escapeLine(context.client.reach.name)],
          ...meant,
          ['you', escapeLine(`${user} (uid ${uid}), ${role}`)],
          ['machines', `${machines}, ${running} running`],
          ...quotaFields(quota),
        ],
        style,
      );
      return `${style.bold(`qward ${escapeLine(version)}`)}  ${instance} instance\n${fields}`;
    });
  },
});
