import { defineCommand } from '../command.ts';
import { oneMachine } from '../machine-arguments.ts';
import { pathsThere, relativePath } from '../remote-paths.ts';
import { escapeLine } from '../render/escape.ts';
import { fromReply, usage } from '../results.ts';

export const unclaim = defineCommand({
  name: 'unclaim',
  summary: 'Take back what a machine may open with your rights.',
  details:
    'It holds from the next start on: what a running machine has open stays open.\n' +
    'Root takes back the claims of all users.',
  arguments: {
    NAME: oneMachine,
    PATH: { help: 'Files that were claimed.', complete: 'file', repeated: true, optional: true },
  },
  options: { all: { kind: 'flag', short: 'a', help: 'Every claim for the machine.' } },
  examples: [
    { line: 'qward unclaim web ~/iso/debian.iso', meaning: 'one file' },
    { line: 'qward unclaim web --all', meaning: 'the machine opens nothing more with your rights' },
  ],
  async run(context, { arguments: { NAME: name, PATH: paths }, options: { all } }) {
    if (all === paths.length > 0) return usage('unclaim: which files? Give paths, or --all');
    const relative = relativePath(context, paths);
    if (relative !== undefined) return usage(relative);
    const broker = await context.client.claims();
    const named = all ? null : pathsThere(context, paths);
    const reply = await context.during('asking the broker', broker.unclaim(name, named));
    return fromReply(reply, (gone) => {
      if (context.quiet) return '';
      if (gone.length === 0) return 'Nothing was claimed.\n';
      return gone.map(({ path }) => `${escapeLine(path)}: no longer claimed\n`).join('');
    });
  },
});
