import { defineCommand } from '../command.ts';
import { outcomeLine } from '../each-machine.ts';
import { oneMachine } from '../machine-arguments.ts';
import { withClaims } from '../own-files.ts';
import { escapeLine } from '../render/escape.ts';
import { fromReply, usage } from '../results.ts';
import { withNearestName } from '../select-machines.ts';
import { parseChange } from './set.ts';

export const clone = defineCommand({
  name: 'clone',
  summary: 'Define a machine like another one.',
  details:
    'The new machine has other MAC addresses. A disk that the guest writes to needs an image of its own: --disk says which.',
  arguments: { NAME: oneMachine, TO: { help: 'Name of the new machine.', complete: 'none' } },
  options: {
    disk: {
      kind: 'texts',
      short: 'd',
      value: 'ID=PATH',
      complete: 'none',
      help: 'Image of a disk of the new machine; several times for several.',
    },
  },
  examples: [
    {
      line: 'qward clone web web2 --disk root=/var/lib/qward/images/web2.qcow2',
      meaning: 'with a disk of its own',
    },
  ],
  async run(context, { arguments: { NAME: name, TO: to }, options: { disk } }) {
    const disks: Record<string, string> = {};
    for (const word of disk) {
      const change = parseChange(word);
      if (change === undefined) return usage(`clone: --disk "${word}" is not ID=PATH`);
      disks[change.key] = change.value;
    }
    const input = disk.length === 0 ? { name, to } : { name, to, disks };
    const call = withClaims(
      context,
      () => context.client.call('clone', input),
      (files) => files.clone(input),
    );
    const { reply, notes } = await context.during(`cloning ${name}`, call);
    return fromReply(await withNearestName(context, name, reply), (result, style) => {
      const lines = [outcomeLine(result, style), ...notes.map((note) => `  ${escapeLine(note)}`)];
      return context.quiet ? '' : `${lines.join('\n')}\n`;
    });
  },
});
