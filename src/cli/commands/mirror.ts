import { defineCommand } from '../command.ts';
import { DiskUsage, sizeOf } from '../disk/disk-input.ts';
import { makeImage } from '../disk/make-image.ts';
import { interruptible } from '../interruptible.ts';
import { oneMachine } from '../machine-arguments.ts';
import { withMemoryProgress } from '../memory-progress.ts';
import { withClaims } from '../own-files.ts';
import { pathsThere, relativePath } from '../remote-paths.ts';
import { escapeLine } from '../render/escape.ts';
import { done, failed, usage } from '../results.ts';
import { withNearestName } from '../select-machines.ts';
import { formatByName } from './attach.ts';

export const mirror = defineCommand({
  name: 'mirror',
  summary: 'Move a disk of a running machine into another image.',
  details:
    'FILE is made, filled while the guest works, and takes the place of the image that the disk has, with all that lies below that one;\n' +
    'the guest stands still for some milliseconds then, and the definition names FILE. The old image stays where it is. Whatever ends\n' +
    'it before, Ctrl-C too, leaves the disk as it was. A machine cannot be saved after it until it was started anew.',
  arguments: {
    NAME: oneMachine,
    DISK: { help: 'Id of the disk.', complete: 'none' },
    FILE: { help: 'The new image; nothing is replaced.', complete: 'file' },
  },
  options: {
    format: {
      kind: 'text',
      short: 'f',
      value: 'FORMAT',
      complete: ['raw', 'qcow2'],
      help: 'Format of FILE, where its name does not tell.',
    },
    rate: { kind: 'text', value: 'SIZE', complete: 'none', help: 'Bytes a second at most, such as 50MiB.' },
  },
  examples: [
    { line: 'qward mirror web root /fast/web.qcow2', meaning: 'to another file system' },
    { line: 'qward mirror web root ~/web.raw --rate 50MiB', meaning: 'as raw, and slowly' },
  ],
  async run(context, { arguments: { NAME: name, DISK: disk, FILE: file }, options: { format: said, rate } }) {
    const fault = relativePath(context, [file]);
    if (fault !== undefined) return usage(`mirror: ${fault}`);
    const [path = file] = pathsThere(context, [file]);
    const format = (['raw', 'qcow2'] as const).find((one) => one === said) ?? formatByName(path);
    if (format === undefined)
      return usage(
        `mirror: the name of ${path} does not say its format`,
        'give --format qcow2 or --format raw',
      );
    let speed: number;
    try {
      speed = rate === undefined ? 0 : sizeOf(rate).bytes;
    } catch (error) {
      if (error instanceof DiskUsage) return usage(`mirror: ${error.message}`);
      throw error;
    }
    return await interruptible(async (signal) => {
      const label = `moving ${disk} of ${name}`;
      const moved = await context.progressing(label, async (progress) => {
        const made = await makeImage(context, { name, disk, path, format }, signal);
        if (!made.ok) return { reply: made, notes: [] };
        const input = { name, disk, path, format, speed };
        const call = withClaims(
          context,
          () => context.client.call('mirror', input, { signal }),
          (files) => files.mirror(input, signal),
        );
        const owned = await withMemoryProgress(context, name, call, (text) =>
          progress.label(label + text),
        ).catch(async (error: unknown) => {
          // It may have been done: what the machine has now is its image.
          await made.result.undo();
          throw error;
        });
        if (!owned.reply.ok) await made.result.undo();
        return owned;
      });
      const told = await withNearestName(context, name, moved.reply);
      if (!told.ok) return failed(told.faults);
      const { before } = told.result;
      const lines = [
        `${name}: ${disk} is in ${path}; ${before} is not used any more`,
        ...moved.notes.map((note) => `${name} ${note}`),
      ];
      return done(told.result, () => `${lines.map(escapeLine).join('\n')}\n`);
    });
  },
});
