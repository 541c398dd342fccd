import { defineCommand } from '../command.ts';
import { changeChain, speedOf } from '../disk/change-chain.ts';
import { makeImage } from '../disk/make-image.ts';
import { oneMachine } from '../machine-arguments.ts';
import { pathsThere, relativePath } from '../remote-paths.ts';
import { usage } from '../results.ts';
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
    const speed = speedOf(rate);
    if (typeof speed === 'string') return usage(`mirror: ${speed}`);
    const input = { name, disk, path, format, speed };
    return await changeChain(context, {
      name,
      doing: `moving ${disk} of ${name}`,
      image: (signal) => makeImage(context, { name, disk, path, format }, signal),
      plain: (signal) => context.client.call('mirror', input, { signal }),
      owned: (files, signal) => files.mirror(input, signal),
      done: ({ before }) => `${disk} is in ${path}; ${before} is not used any more`,
    });
  },
});
