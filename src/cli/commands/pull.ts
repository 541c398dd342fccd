import { defineCommand } from '../command.ts';
import { chainShows, changeChain, speedOf } from '../disk/change-chain.ts';
import { oneMachine } from '../machine-arguments.ts';
import { usage } from '../results.ts';

export const pull = defineCommand({
  name: 'pull',
  summary: 'Copy all that lies below the topmost image of a disk into it.',
  details:
    'While the machine runs; the image stands alone then, in the definition too, and those below stay as they are. Whatever ends it\n' +
    'before, Ctrl-C too, leaves the chain as it was. Of images that no machine uses: `qward disk rebase`.',
  arguments: { NAME: oneMachine, DISK: { help: 'Id of the disk.', complete: 'none' } },
  options: {
    rate: { kind: 'text', value: 'SIZE', complete: 'none', help: 'Bytes a second at most, such as 50MiB.' },
  },
  examples: [{ line: 'qward pull web root', meaning: 'the disk has one image' }],
  async run(context, { arguments: { NAME: name, DISK: disk }, options: { rate } }) {
    const speed = speedOf(rate);
    if (typeof speed === 'string') return usage(`pull: ${speed}`);
    const input = { name, disk, speed };
    return await changeChain(context, {
      name,
      interrupted: chainShows,
      doing: `pulling ${disk} of ${name}`,
      plain: (signal) => context.client.call('pull', input, { signal }),
      owned: (files, signal) => files.pull(input, signal),
      done: ({ path }) => `${path} stands alone`,
    });
  },
});
