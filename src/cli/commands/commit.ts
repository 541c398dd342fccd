import { defineCommand } from '../command.ts';
import { chainShows, changeChain, speedOf } from '../disk/change-chain.ts';
import { oneMachine } from '../machine-arguments.ts';
import { usage } from '../results.ts';

export const commit = defineCommand({
  name: 'commit',
  summary: 'Write the topmost image of a disk into the one below it.',
  details:
    'While the machine runs: what the topmost image has is written into the one below, which then takes its place, in the definition\n' +
    'too. The image that was on top stays where it is, and is of no more use. Refused where another machine stands on the one below.\n' +
    'Whatever ends it before, Ctrl-C too, leaves the chain as it was. Of images that no machine uses: `qward disk commit`.',
  arguments: { NAME: oneMachine, DISK: { help: 'Id of the disk.', complete: 'none' } },
  options: {
    rate: { kind: 'text', value: 'SIZE', complete: 'none', help: 'Bytes a second at most, such as 50MiB.' },
  },
  examples: [{ line: 'qward commit web root', meaning: 'the disk has one image less' }],
  async run(context, { arguments: { NAME: name, DISK: disk }, options: { rate } }) {
    const speed = speedOf(rate);
    if (typeof speed === 'string') return usage(`commit: ${speed}`);
    const input = { name, disk, speed };
    return await changeChain(context, {
      name,
      interrupted: chainShows,
      doing: `committing ${disk} of ${name}`,
      plain: (signal) => context.client.call('commit', input, { signal }),
      owned: async (files, signal) => {
        const chain = await context.client.call('chain', { name });
        if (!chain.ok) return { reply: chain, notes: [] };
        const below = chain.result.disks.find((one) => one.disk === disk)?.images[1]?.path;
        if (below !== undefined) return await files.commit(input, below, signal);
        return { reply: await context.client.call('commit', input, { signal }), notes: [] };
      },
      done: ({ left }) => `${disk} is committed; ${left} is not used any more`,
    });
  },
});
