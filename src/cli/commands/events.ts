import { defineCommand } from '../command.ts';
import { escapeJson } from '../render/escape.ts';
import { renderEvent } from '../render/event.ts';
import { failed, printed } from '../results.ts';
import { anyMachines } from '../machine-arguments.ts';
import { globExpression } from '../select-machines.ts';

export const events = defineCommand({
  name: 'events',
  summary: 'Print what happens to machines, as it happens.',
  details: 'Goes on until it is interrupted or the manager ends. With --json, one object a line.',
  arguments: { NAME: anyMachines },
  options: {
    event: {
      kind: 'texts',
      short: 'e',
      value: 'EVENT',
      complete: 'none',
      help: 'Only such events: machine.started, "guest.*".',
    },
    count: { kind: 'number', short: 'n', value: 'COUNT', help: 'End after so many.' },
  },
  examples: [
    { line: 'qward events', meaning: 'everything' },
    { line: 'qward events web --event machine.stopped -n 1', meaning: 'until it stops' },
    { line: 'qward events --json | jq -r .event', meaning: 'for programs' },
  ],
  async run(context, { arguments: { NAME: words }, options: { event: kinds, count } }) {
    const names = words.map(globExpression);
    const wanted = kinds.map(globExpression);
    const reply = await context.client.events();
    if (!reply.ok) return failed(reply.faults);
    let left = count ?? Number.POSITIVE_INFINITY;
    try {
      for await (const event of reply.result) {
        const { machine } = event;
        if (names.length > 0 && (machine === null || !names.some((name) => name.test(machine)))) continue;
        if (wanted.length > 0 && !wanted.some((kind) => kind.test(event.event))) continue;
        context.print(
          context.json ? `${escapeJson(JSON.stringify(event))}\n` : renderEvent(event, context.style),
        );
        left -= 1;
        if (left <= 0) return printed();
      }
    } finally {
      reply.result.close();
    }
    return failed([{ code: 'manager-unreachable', message: 'the manager ended the stream', hint: '' }]);
  },
});
