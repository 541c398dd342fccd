/** `qward disk`: lists, images, checks. */
import type { CallResult } from '../../api/calls.ts';
import { formatBytes } from './sizes.ts';
import type { Style } from './style.ts';
import { renderFields, renderTable } from './table.ts';
import { escapeLine } from './escape.ts';

type Listing = CallResult<'disks'>;
type Users = Listing['files'][number]['usedBy'];

const usersOf = (users: Users): string =>
  users
    .map(
      ({ machine, access, running }) => `${machine}${access === 'ro' ? ' (ro)' : ''}${running ? ' *' : ''}`,
    )
    .join(', ');

export function renderDisks({ roots, files }: Listing, style: Style): string {
  const parts = roots.map(({ path, access, free, total, images, more }) => {
    const space =
      total === 0 ? 'what lies in it is not shown' : `${formatBytes(free)} free of ${formatBytes(total)}`;
    const head = `${style.bold(escapeLine(path))}  ${access === 'ro' ? 'read-only, ' : ''}${space}\n`;
    const rows = images.map((image) => ({ ...image, name: image.path.slice(path.length + 1) }));
    const table = renderTable(
      rows,
      [
        { title: 'IMAGE', cell: ({ name }) => name, fold: true },
        { title: 'FORMAT', cell: ({ format }) => format },
        { title: 'SIZE', cell: ({ virtualSize }) => formatBytes(virtualSize), align: 'right' },
        { title: 'ON DISK', cell: ({ allocated }) => formatBytes(allocated), align: 'right' },
        { title: 'USED BY', cell: ({ usedBy }) => usersOf(usedBy), fold: true },
      ],
      style,
    );
    return `${head}${images.length === 0 ? 'no images\n' : table}${more ? 'there are more, which are not shown\n' : ''}`;
  });
  const others = renderTable(
    files,
    [
      { title: 'OTHER FILE', cell: ({ path }) => path, fold: true },
      { title: 'USED BY', cell: ({ usedBy }) => usersOf(usedBy), fold: true },
    ],
    style,
  );
  return [...parts, ...(files.length === 0 ? [] : [others])].join('\n') || 'No images that you may see.\n';
}

export function renderImage(image: CallResult<'diskInfo'>, style: Style): string {
  const { backing, backingFormat, snapshots, clusterSize } = image;
  const fields = renderFields(
    [
      ['file', escapeLine(image.path)],
      ['format', escapeLine(image.format)],
      ['size', `${formatBytes(image.virtualSize)} (${image.virtualSize} bytes)`],
      ['on disk', formatBytes(image.actualSize)],
      ['clusters', clusterSize === null ? '' : formatBytes(clusterSize)],
      [
        'below',
        backing === null
          ? ''
          : escapeLine(`${backing}${backingFormat === null ? '' : ` (${backingFormat})`}`),
      ],
      [
        'state',
        [image.corrupt ? 'corrupt' : '', image.dirty ? 'not closed cleanly' : ''].filter(Boolean).join(', '),
      ],
    ],
    style,
  );
  if (snapshots.length === 0) return fields;
  const table = renderTable(
    snapshots,
    [
      { title: 'SNAPSHOT', cell: ({ name }) => name, fold: true },
      { title: 'MADE', cell: ({ at }) => at },
      {
        title: 'MEMORY',
        cell: ({ vmStateSize }) => (vmStateSize === 0 ? '' : formatBytes(vmStateSize)),
        align: 'right',
      },
    ],
    style,
  );
  return `${fields}\n${table}`;
}

export function renderCheck(check: CallResult<'diskCheck'>, style: Style): string {
  const { errors, leaks, repairedErrors, repairedLeaks } = check;
  const repaired = repairedErrors + repairedLeaks;
  const verdict = check.ok
    ? style.green('in order')
    : `${errors > 0 ? style.red(`${errors} errors: data may be lost`) : ''}${errors > 0 && leaks > 0 ? ', ' : ''}${leaks > 0 ? style.yellow(`${leaks} leaked clusters: space, no data`) : ''}`;
  return `${escapeLine(check.path)}: ${verdict}${repaired > 0 ? `, ${repaired} repaired` : ''}\n`;
}
