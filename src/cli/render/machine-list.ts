/** `qward list`. */
import type { CallResult } from '../../api/calls.ts';
import { paintState } from './machine-state.ts';
import { formatBytes } from './sizes.ts';
import type { Style } from './style.ts';
import { renderTable } from './table.ts';

/** `instance`: where those of several are listed. */
type Summary = CallResult<'list'>[number] & { readonly instance?: string };

export function renderMachineList(machines: readonly Summary[], style: Style): string {
  const withHost = machines.some(({ autostart }) => autostart);
  const withAddress = machines.some(({ addresses }) => addresses.length > 0);
  const table = renderTable(
    machines,
    [
      ...(machines.some(({ instance }) => instance !== undefined)
        ? [{ title: 'INSTANCE', cell: ({ instance }: Summary) => instance ?? '' }]
        : []),
      { title: 'NAME', cell: ({ name }) => name, paint: (text) => style.bold(text) },
      {
        title: 'STATE',
        cell: (machine) => `${machine.state}${restartOf(machine)}${marksOf(machine)}`,
        paint: (text, { state }) => paintState(text, state, style),
      },
      // Where nothing starts with the host, the room is better used.
      ...(withHost ? [{ title: 'AUTO', cell: ({ autostart }: Summary) => (autostart ? 'yes' : '') }] : []),
      { title: 'CPUS', cell: ({ cpus }) => String(cpus), align: 'right' },
      { title: 'MEMORY', cell: ({ memory }) => formatBytes(memory), align: 'right' },
      ...(withAddress
        ? [{ title: 'ADDRESS', cell: ({ addresses }: Summary) => addresses.join(','), fold: true as const }]
        : []),
      { title: 'PID', cell: ({ pid }) => String(pid ?? ''), align: 'right' },
      { title: 'UID', cell: ({ uid }) => String(uid ?? ''), align: 'right' },
      { title: 'OWNER', cell: ({ owner }) => owner },
      { title: 'TAGS', cell: ({ tags }) => tags.join(','), fold: true },
      { title: 'DESCRIPTION', cell: ({ description }) => description, fold: true },
    ],
    style,
  );
  const legends = [
    ...(machines.some(isMarked) ? [legend] : []),
    ...(machines.some(({ beyond }) => beyond.length > 0) ? [beyondLegend] : []),
  ];
  return legends.length > 0 ? `${table}\n${legends.join('')}` : table;
}

const legend = '! the policy of now would not let it start, or a wall differs: see `qward status`\n';

const beyondLegend = '+ has more than the walls of every machine give it: see `qward status`\n';

const isMarked = ({ notAdmitted, wallsDiffer }: Summary): boolean => notAdmitted || wallsDiffer;

/** How long it takes is for `status` to say. */
function restartOf({ restart }: Summary): string {
  return restart === null ? '' : `, restarts (${restart.attempt}/${restart.of})`;
}

/** `*`: the definition was changed since the start. `!`, `+`: what the legends say. */
function marksOf(machine: Summary): string {
  return `${machine.changed ? ' *' : ''}${isMarked(machine) ? ' !' : ''}${machine.beyond.length > 0 ? ' +' : ''}`;
}
