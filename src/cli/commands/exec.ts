import type { CallResult } from '../../api/calls.ts';
import type { Context } from '../context.ts';
import { defineCommand } from '../command.ts';
import { parseEnvironment } from '../guest/environment.ts';
import { oneMachine } from '../machine-arguments.ts';
import { escapeLines } from '../render/escape.ts';
import { done, failed, printed, usage } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

const maxInputBytes = 1024 * 1024;
/** As of ssh: no program of the guest's can be told from it but one that uses it too. */
const notRun = 255;

/** A guest steers no terminal; into a file or pipe its output goes as it is. */
function write(context: Context, descriptor: 1 | 2, base64: string): void {
  const bytes = Buffer.from(base64, 'base64');
  context.io.write(
    descriptor,
    context.io.isTerminal(descriptor) ? escapeLines(bytes.toString('utf8')) : bytes,
  );
}

function shown(context: Context, end: CallResult<'exec'>) {
  const exit = end.exitCode ?? 128 + (end.signal ?? 0);
  if (context.json) return done(end, () => '', exit);
  write(context, 1, end.stdout);
  write(context, 2, end.stderr);
  if (end.truncated)
    context.warn(
      'The agent kept only the beginning of the output: let it write to a file, and use qward cp.\n',
    );
  return printed(exit);
}

export const exec = defineCommand({
  name: 'exec',
  summary: 'Run a program in the guest, by its agent.',
  details:
    'The machine needs `agent: true`, and its guest an agent that runs (in Debian: the package qemu-guest-agent). There is no shell but the one\n' +
    'that you name. Its output is shown when it has ended, 3 MiB at most, and its exit status is this command\'s. Needs the right "guest".',
  arguments: {
    NAME: oneMachine,
    COMMAND: { help: 'The program and its arguments.', complete: 'none', repeated: true, verbatim: true },
  },
  options: {
    env: {
      kind: 'texts',
      short: 'E',
      value: 'NAME=VALUE',
      help: 'A variable of its environment; then it has these alone.',
    },
    stdin: { kind: 'flag', short: 'i', help: 'Give it the standard input of this command, 1 MiB at most.' },
    timeout: {
      kind: 'duration',
      short: 't',
      value: 'TIME',
      help: 'How long to wait for its end. Default: 60s.',
    },
  },
  exits: {
    [notRun]:
      'the program was not run, or not seen to end; else its own status, or 128 and the number of the signal that ended it',
  },
  examples: [
    { line: 'qward exec web uname -a', meaning: 'a program' },
    { line: `qward exec web sh -c 'df -h | grep vda'`, meaning: 'a shell' },
  ],
  async run(context, { arguments: { NAME: name, COMMAND: argv }, options }) {
    const environment = parseEnvironment(options.env);
    if (!environment.ok) return usage(`exec: --env: NAME=VALUE expected, not "${environment.word}"`);
    const input = options.stdin ? Buffer.from(context.io.readInput(), 'utf8') : undefined;
    if (input !== undefined && input.length > maxInputBytes)
      return usage(
        `exec: ${input.length} bytes of standard input, at most ${maxInputBytes}`,
        'copy a file first: qward cp',
      );
    const asked = context.client.call('exec', {
      name,
      argv: [...argv],
      env: environment.env,
      ...(input === undefined ? {} : { input: input.toString('base64') }),
      ...(options.timeout === undefined ? {} : { timeoutMs: options.timeout }),
    });
    const reply = await withNearestName(
      context,
      name,
      await context.during(`running ${argv[0]} in ${name}`, asked),
    );
    return reply.ok ? shown(context, reply.result) : failed(reply.faults, notRun);
  },
});
