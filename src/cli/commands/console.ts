import { defineCommand, type CommandResult } from '../command.ts';
import { attach, type AttachEnd } from '../console/attach.ts';
import { goOn, processOf } from '../console/go-on.ts';
import { defaultEscape, escapeText, parseEscape } from '../console/escape-key.ts';
import type { Context } from '../context.ts';
import { oneMachine } from '../machine-arguments.ts';
import { escapeLine, escapeLines } from '../render/escape.ts';
import { done, failed, printed, usage } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

/** The scroll-back. On a terminal without its control characters, into a file or pipe as the guest wrote it. */
async function printScrollBack(context: Context, name: string): Promise<CommandResult> {
  const reply = await withNearestName(context, name, await context.client.call('consoleOutput', { name }));
  if (!reply.ok) return failed(reply.faults);
  const { output, lost } = reply.result;
  if (lost > 0 && !context.quiet) context.warn(`${lost} bytes before this are lost.\n`);
  return done(reply.result, () => {
    const text = Buffer.from(output, 'base64').toString('utf8');
    if (context.io.isTerminal(1)) return escapeLines(text);
    context.io.write(1, text);
    return '';
  });
}

function ending(context: Context, name: string, end: AttachEnd): CommandResult {
  if (end === 'broken')
    return failed([{ code: 'manager-unreachable', message: 'the manager closed the console', hint: '' }]);
  if (end === 'detached' && !context.quiet)
    context.warn(`\nDetached from ${escapeLine(name)}; it goes on.\n`);
  return printed();
}

export const console = defineCommand({
  name: 'console',
  summary: 'Attach to the serial console of a machine.',
  details:
    'Ctrl-] detaches; the machine goes on. What was missed is shown first. One client writes, any number watch. Across a restart of the manager ' +
    'it goes on by itself; what the guest writes while none is there is lost. ' +
    'QWARD_ESCAPE in the environment is another default for --escape.',
  arguments: { NAME: oneMachine },
  options: {
    watch: { kind: 'flag', short: 'w', help: 'Only watch.' },
    steal: { kind: 'flag', help: 'Write, although another client does; that one goes on watching.' },
    log: { kind: 'flag', short: 'l', help: 'Print what the console has shown, and end.' },
    noReplay: { kind: 'flag', help: 'Do not show first what was missed.' },
    escape: {
      kind: 'text',
      short: 'e',
      value: 'KEY',
      complete: 'none',
      help: 'Key that detaches: ^], ^a, or none. Default: ^].',
    },
  },
  examples: [
    { line: 'qward console web', meaning: 'attach; Ctrl-] leaves' },
    { line: 'qward console --watch web', meaning: 'look on' },
    { line: 'qward console --log web | less', meaning: 'what it has shown' },
  ],
  async run(context, { arguments: { NAME: name }, options }) {
    if (options.log) return printScrollBack(context, name);
    const escape = parseEscape(options.escape ?? (context.io.env['QWARD_ESCAPE'] || defaultEscape));
    if (escape === undefined) return usage('console: --escape takes a key such as ^] or ^a, or none');
    const opened = await context.client.console({
      name,
      mode: options.watch ? 'watch' : 'write',
      ...(options.steal ? { steal: true } : {}),
      ...(options.noReplay ? { replay: false } : {}),
    });
    const reply = await withNearestName(context, name, opened);
    if (!reply.ok) return failed(reply.faults);
    const told =
      context.io.isTerminal(0) && escape !== null && !context.quiet
        ? `Attached to ${escapeLine(name)}; ${escapeText(escape)} detaches.`
        : undefined;
    if (told !== undefined) context.warn(`${told}\n`);
    const say = (text: string): void => {
      if (!context.quiet) context.warn(`\r\n[qward: ${text}]\r\n`);
    };
    const { pid } = await processOf(context, name);
    let stream = reply.result;
    let offset: number | undefined;
    let { watch } = options;
    let again = false;
    for (;;) {
      const end = await attach(stream, {
        escape,
        writes: !options.watch,
        seen: (next) => (offset = next),
        notice: ({ notice, message }) => {
          if (notice === 'attached') return;
          if (notice === 'writer-taken') watch = true;
          // Said once more behind the scroll-back: firmware and boot loaders clear the screen.
          if (notice !== 'replayed') say(escapeLine(message));
          else if (!again && told !== undefined) say(told);
        },
      });
      const over = end === 'detached' || end === 'ended';
      const next = over ? undefined : await goOn(context, { name, pid, offset, watch, say });
      if (next === undefined) return ending(context, name, end);
      stream = next;
      again = true;
    }
  },
});
