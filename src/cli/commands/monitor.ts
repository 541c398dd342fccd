import { defineCommand, type CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { oneMachine } from '../machine-arguments.ts';
import { escapeLines } from '../render/escape.ts';
import { renderFaults } from '../render/faults.ts';
import { fromReply, printed } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

const outputText = (output: string): string => (output === '' ? '' : `${escapeLines(output).trimEnd()}\n`);

/** One command a line, from a terminal or a file, until its end. */
async function converse(context: Context, name: string): Promise<CommandResult> {
  const { createInterface } = await import('node:readline');
  const terminal = context.io.isTerminal(0);
  const lines = createInterface({
    input: process.stdin,
    output: terminal ? process.stdout : undefined,
    terminal,
    prompt: `${name}> `,
  });
  let exit = 0;
  if (terminal) lines.prompt();
  for await (const line of lines) {
    const command = line.trim();
    if (command === 'quit' || command === 'exit') break;
    if (command !== '') {
      const reply = await context.client.call('monitor', { name, command });
      if (reply.ok) context.print(outputText(reply.result.output));
      else context.warn(renderFaults(reply.faults, context.errorStyle));
      exit = reply.ok ? exit : 1;
    }
    if (terminal) lines.prompt();
  }
  return printed(exit);
}

export const monitor = defineCommand({
  name: 'monitor',
  summary: "Talk to QEMU's human monitor.",
  details:
    'Runs one command, or without one reads a command a line; "quit" or Ctrl-D leaves, and does not end the machine. ' +
    'Needs the right "monitor", and each command is logged.',
  arguments: {
    NAME: oneMachine,
    COMMAND: {
      help: 'A command of the human monitor.',
      complete: 'none',
      optional: true,
      repeated: true,
      verbatim: true,
    },
  },
  options: {},
  examples: [
    { line: 'qward monitor web info block', meaning: 'one command' },
    { line: 'qward monitor web', meaning: 'a conversation' },
  ],
  async run(context, { arguments: { NAME: name, COMMAND: words } }) {
    if (words.length === 0) return converse(context, name);
    const call = context.client.call('monitor', { name, command: words.join(' ') });
    const reply = await context.during(`asking ${name}`, call);
    return fromReply(await withNearestName(context, name, reply), ({ output }) => outputText(output));
  },
});
