import { defineCommand } from '../command.ts';
import { oneMachine } from '../machine-arguments.ts';
import { pathsThere, relativePath } from '../remote-paths.ts';
import { escapeLine } from '../render/escape.ts';
import { fromReply, usage } from '../results.ts';

const outcomes = {
  claimed: 'claimed',
  known: 'claimed before',
  'by-policy': 'needs no claim: the policy gives it to administrators’ machines',
} as const;

export const claim = defineCommand({
  name: 'claim',
  summary: 'Let a machine open files with your rights.',
  details:
    '`define`, `edit`, `set` and `clone` claim the files that you name there; this is for what you name before or after.\n' +
    'Nothing about the files changes, and none is opened now: at each start the broker opens them as you.\n' +
    'A claim ends with `qward unclaim`, and with the machine.',
  arguments: {
    NAME: oneMachine,
    PATH: { help: 'Files. All of them are claimed, or none.', complete: 'file', repeated: true },
  },
  options: { rw: { kind: 'flag', help: 'For reading and writing; else for reading alone.' } },
  examples: [
    { line: 'qward claim web ~/images/web.qcow2 --rw', meaning: 'a disk that the guest writes to' },
    { line: 'qward claim web ~/iso/debian.iso', meaning: 'a CD-ROM' },
  ],
  async run(context, { arguments: { NAME: name, PATH: paths }, options: { rw } }) {
    const relative = relativePath(context, paths);
    if (relative !== undefined) return usage(relative);
    const broker = await context.client.claims();
    const files = pathsThere(context, paths).map((path) => ({
      path,
      access: rw ? ('rw' as const) : ('ro' as const),
    }));
    const reply = await context.during('asking the broker', broker.claim(name, files));
    return fromReply(reply, (found) =>
      context.quiet
        ? ''
        : found.map(({ path, outcome }) => `${escapeLine(path)}: ${outcomes[outcome]}\n`).join(''),
    );
  },
});
