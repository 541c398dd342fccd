import { defineCommand } from '../command.ts';
import { DiskUsage, sizeOf } from '../disk/disk-input.ts';
import { oneMachine } from '../machine-arguments.ts';
import { escapeLine } from '../render/escape.ts';
import { formatBytes } from '../render/sizes.ts';
import { fromReply, usage } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

export const resize = defineCommand({
  name: 'resize',
  summary: 'Make a disk of a running machine larger.',
  details:
    'The guest is told at once; its partitions and file systems are its own to grow. An image may not become larger than what the\n' +
    'machine was started with (`limits.fileSize`). Of a machine that does not run: `qward disk resize`.',
  arguments: {
    NAME: oneMachine,
    DISK: { help: 'Id of the disk.', complete: 'none' },
    SIZE: { help: '20GiB, or +10GiB for so much more.', complete: 'none' },
  },
  options: {},
  examples: [
    { line: 'qward resize web root 20GiB', meaning: 'to a size' },
    { line: 'qward resize web root +10GiB', meaning: 'by a size' },
  ],
  async run(context, { arguments: { NAME: name, DISK: disk, SIZE: text } }) {
    let wanted: ReturnType<typeof sizeOf>;
    try {
      wanted = sizeOf(text);
    } catch (error) {
      if (error instanceof DiskUsage) return usage(`resize: ${error.message}`);
      throw error;
    }
    const { bytes: size, more } = wanted;
    const call = context.client.call('resizeDisk', { name, disk, size, more });
    const reply = await context.during(`resizing ${disk} of ${name}`, call);
    return fromReply(
      await withNearestName(context, name, reply),
      (done) =>
        `${escapeLine(name)}: ${escapeLine(disk)} has ${formatBytes(done.size)}${done.size === done.before ? ' already' : `, had ${formatBytes(done.before)}`}\n`,
    );
  },
});
