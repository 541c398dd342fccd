import { setTimeout as after } from 'node:timers/promises';
import type { CallResult } from '../../api/calls.ts';
import { defineCommand } from '../command.ts';
import { newLines } from '../log-lines.ts';
import { oneMachine } from '../machine-arguments.ts';
import { escapeJson } from '../render/escape.ts';
import { renderLogLine } from '../render/log-line.ts';
import { done, failed, printed } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

type Line = CallResult<'logs'>['lines'][number];

const defaultLines = 200;
/** Lines asked for while following; so many within one interval are not lost. */
const followedLines = 2000;
const intervalMs = 500;

export const logs = defineCommand({
  name: 'logs',
  summary: "Print QEMU's own output and what qward did with a machine.",
  details: 'For what the guest prints on its serial console: qward console --log.',
  arguments: { NAME: oneMachine },
  options: {
    follow: { kind: 'flag', short: 'f', help: 'Go on as more comes; with --json, one object a line.' },
    lines: {
      kind: 'number',
      short: 'n',
      value: 'COUNT',
      help: `How many of the last lines. Default: ${defaultLines}.`,
    },
  },
  examples: [
    { line: 'qward logs web', meaning: 'the last lines' },
    { line: 'qward logs -f web', meaning: 'and what comes' },
  ],
  async run(context, { arguments: { NAME: name }, options: { follow, lines = defaultLines } }) {
    if (lines === 0) return printed();
    const reply = await withNearestName(context, name, await context.client.call('logs', { name, lines }));
    if (!reply.ok) return failed(reply.faults);
    if (!follow)
      return done(reply.result, (style) =>
        reply.result.lines.map((line) => renderLogLine(line, style)).join(''),
      );
    const print = (shown: readonly Line[]): void =>
      context.print(
        shown
          .map((line) =>
            context.json ? `${escapeJson(JSON.stringify(line))}\n` : renderLogLine(line, context.style),
          )
          .join(''),
      );
    let known = reply.result.lines;
    print(known);
    for (;;) {
      await after(intervalMs);
      const next = await context.client.call('logs', { name, lines: followedLines });
      if (!next.ok) return failed(next.faults);
      print(newLines(known, next.result.lines));
      known = next.result.lines;
    }
  },
});
