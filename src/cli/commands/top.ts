import { setTimeout as wait } from 'node:timers/promises';
import { defineCommand } from '../command.ts';
import { escapeJson } from '../render/escape.ts';
import { renderUsage, usageOf, type Stats } from '../render/usage.ts';
import { failed, printed } from '../results.ts';
import { anyMachines } from '../machine-arguments.ts';
import { globExpression } from '../select-machines.ts';
import { endedStates } from '../../api/endpoints.ts';
import type { Context } from '../context.ts';
import type { Reply } from '../../api/client.ts';

const defaultMs = 2_000;

async function look(context: Context, names: readonly RegExp[]): Promise<Reply<Stats[]>> {
  const reply = await context.client.call('allStats');
  if (!reply.ok) return reply;
  const machines = reply.result.filter(
    ({ name, state }) =>
      !endedStates.includes(state) && (names.length === 0 || names.some((glob) => glob.test(name))),
  );
  return { ok: true, result: machines };
}

export const top = defineCommand({
  name: 'top',
  summary: 'Show what running machines use, again and again.',
  details:
    'CPU in hundredths of one CPU, disks and network a second, counted between two looks; the busiest first. Goes on until it is\n' +
    'interrupted, but for --count. With --json, one object for each machine and look.',
  arguments: { NAME: anyMachines },
  options: {
    interval: { kind: 'duration', short: 'i', value: 'TIME', help: 'Time between two looks; default: 2s.' },
    count: { kind: 'number', short: 'n', value: 'COUNT', help: 'End after so many.' },
  },
  examples: [
    { line: 'qward top', meaning: 'every machine' },
    { line: 'qward top "web*" --interval 10s', meaning: 'some of them' },
    { line: 'qward top -n 1 --json', meaning: 'for programs' },
  ],
  async run(context, { arguments: { NAME: words }, options: { interval = defaultMs, count } }) {
    const names = words.map(globExpression);
    let before = await look(context, names);
    if (!before.ok) return failed(before.faults);
    for (let left = count ?? Number.POSITIVE_INFINITY; left > 0; left -= 1) {
      await wait(Math.max(interval, 100));
      const now = await look(context, names);
      if (!now.ok) return failed(now.faults);
      const rows = usageOf(before.result, now.result);
      context.print(
        context.json
          ? rows.map((row) => `${escapeJson(JSON.stringify(row))}\n`).join('')
          : `${renderUsage(rows, context.style)}${left > 1 ? '\n' : ''}`,
      );
      before = now;
    }
    return printed();
  },
});
