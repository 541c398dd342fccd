import { defineCommand } from '../command.ts';
import { formatJson } from '../context.ts';
import { oneMachine } from '../machine-arguments.ts';
import { fromReply, usage } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

type Parsed = { readonly ok: true; readonly value: Record<string, unknown> } | { readonly ok: false };

function parseObject(text: string): Parsed {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return { ok: true, value: { ...value } };
  } catch {
    // Not JSON: the same answer as for JSON that is no object.
  }
  return { ok: false };
}

export const qmp = defineCommand({
  name: 'qmp',
  summary: 'Send one QMP command to QEMU.',
  details:
    'Prints what the command returned, as JSON. Needs the right "monitor", and each command is logged.',
  arguments: {
    NAME: oneMachine,
    COMMAND: {
      help: 'Name of the QMP command.',
      complete: [
        'query-status',
        'query-block',
        'query-cpus-fast',
        'query-version',
        'query-chardev',
        'query-balloon',
        'query-commands',
      ],
    },
    ARGUMENTS: { help: 'Its arguments, a JSON object.', complete: 'none', optional: true },
  },
  options: {},
  examples: [
    { line: 'qward qmp web query-status', meaning: 'without arguments' },
    {
      line: `qward qmp web human-monitor-command '{"command-line": "info version"}'`,
      meaning: 'with arguments',
    },
  ],
  async run(context, { arguments: { NAME: name, COMMAND: execute, ARGUMENTS: text } }) {
    const parsed = parseObject(text ?? '{}');
    if (!parsed.ok) return usage('qmp: ARGUMENTS is not a JSON object', `For example: '{"id": "root"}'`);
    const input = text === undefined ? { name, execute } : { name, execute, arguments: parsed.value };
    const reply = await context.during(`asking ${name}`, context.client.call('qmp', input));
    return fromReply(await withNearestName(context, name, reply), (result) => formatJson(result.return));
  },
});
