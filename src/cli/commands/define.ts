import { readFileSync } from 'node:fs';
import type { CallResult } from '../../api/calls.ts';
import type { Reply } from '../../api/client.ts';
import { errnoText } from '../../api/errno-text.ts';
import { placeFaults } from '../definition-faults.ts';
import { defineCommand, type CommandFault } from '../command.ts';
import type { Context } from '../context.ts';
import { withClaims, withNotes } from '../own-files.ts';
import { renderDefined } from '../render/defined.ts';
import { done, failed } from '../results.ts';

export const define = defineCommand({
  name: 'define',
  summary: 'Define machines from YAML files.',
  details:
    'Every fault is shown at once, with line and column; a file with a fault defines nothing. Files of your own that a ' +
    'definition names are claimed for the machine: it may open them with your rights (`qward claims`).',
  arguments: {
    FILE: { help: 'A file with one definition; "-" is standard input.', complete: 'file', repeated: true },
  },
  options: {
    replace: { kind: 'flag', short: 'r', help: 'Also change a machine that is defined already.' },
    dryRun: { kind: 'flag', short: 'n', help: 'Only check, and say what would be done.' },
  },
  examples: [
    { line: 'qward define web.yaml', meaning: 'from a file' },
    { line: 'qward define - < web.yaml', meaning: 'from standard input' },
    { line: 'qward define --dry-run web.yaml', meaning: 'check it only' },
  ],
  async run(context, { arguments: { FILE: files }, options: { replace, dryRun } }) {
    const results: CallResult<'define'>[] = [];
    const faults: CommandFault[] = [];
    for (const file of files) {
      const source = file === '-' ? context.io.readInput() : readDefinition(file);
      if (typeof source !== 'string') {
        faults.push(source);
        continue;
      }
      const call = dryRun
        ? context.client.call('define', { source, replace, dryRun })
        : defineSource(context, source, replace);
      const reply = await context.during(`defining ${file}`, call);
      if (reply.ok) results.push(reply.result);
      else faults.push(...placeFaults(reply.faults, file === '-' ? '' : file, source));
    }
    if (faults.length === 0)
      return done(files.length === 1 ? results[0] : results, (style) =>
        context.quiet ? '' : results.map((one) => renderDefined(one, style, dryRun)).join(''),
      );
    if (!context.json && !context.quiet)
      context.print(results.map((one) => renderDefined(one, context.style, dryRun)).join(''));
    return failed(faults);
  },
});

/** Defines, with claims for the files that the text names. */
export async function defineSource(
  context: Context,
  source: string,
  replace: boolean,
): Promise<Reply<CallResult<'define'>>> {
  return withNotes(
    await withClaims(
      context,
      () => context.client.call('define', { source, replace, dryRun: false }),
      (files) => files.define({ source, replace }),
    ),
  );
}

/** The text of a file, or why it cannot be read. */
export function readDefinition(file: string): string | CommandFault {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    return { message: `${file} cannot be read: ${errnoText(error)}`, hint: '' };
  }
}
