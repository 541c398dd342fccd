import type { CallResult } from '../../api/calls.ts';
import { defineCommand } from '../command.ts';
import { oneMachine } from '../machine-arguments.ts';
import { escapeLine } from '../render/escape.ts';
import { formatBytes } from '../render/sizes.ts';
import { renderTable, type Column } from '../render/table.ts';
import { fromReply } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

type Disk = CallResult<'chain'>['disks'][number];
interface Row {
  readonly disk: string;
  readonly size: string;
  readonly format: string;
  readonly image: string;
}

const columns: readonly Column<Row>[] = [
  { title: 'DISK', cell: ({ disk }) => disk },
  { title: 'SIZE', cell: ({ size }) => size },
  { title: 'FORMAT', cell: ({ format }) => format },
  { title: 'IMAGE', cell: ({ image }) => image, fold: true },
];

const rowsOf = ({ disk, size, images }: Disk): readonly Row[] =>
  images.map(({ path, format }, depth) => ({
    disk: depth === 0 ? disk : '',
    size: depth === 0 && size !== null ? formatBytes(size) : '',
    format,
    image: `${depth === 0 ? '' : `${'  '.repeat(depth - 1)}└ `}${path}`,
  }));

export const chain = defineCommand({
  name: 'chain',
  summary: 'Show the images of each disk.',
  details:
    'The topmost image is the one that is written; what lies below it is read. Of a running machine it is what QEMU has, else what\n' +
    'the definition says. What the header of an image names does not count.',
  arguments: { NAME: oneMachine },
  options: {},
  examples: [{ line: 'qward chain web', meaning: 'each disk with the images below it' }],
  async run(context, { arguments: { NAME: name } }) {
    const reply = await withNearestName(
      context,
      name,
      await context.during(`asking for the images of ${name}`, context.client.call('chain', { name })),
    );
    return fromReply(reply, ({ disks }, style) =>
      disks.length === 0
        ? `${escapeLine(name)} has no disks.\n`
        : renderTable(disks.flatMap(rowsOf), columns, style),
    );
  },
});
