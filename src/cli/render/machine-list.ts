/** `qward list`. */
import type { CallResult } from '../../api/calls.ts';
import { paintState } from './machine-state.ts';
import { formatBytes } from './sizes.ts';
import type { Style } from './style.ts';
import { renderTable } from './table.ts';

type Summary = CallResult<'list'>[number];

export function renderMachineList(machines: readonly Summary[], style: Style): string {
  if (machines.length === 0) return 'No machines. Define one: qward define FILE\n';
  return renderTable(
    machines,
    [
      { title: 'NAME', cell: ({ name }) => name, paint: (text) => style.bold(text) },
      {
        title: 'STATE',
        cell: ({ state, changed }) => (changed ? `${state} *` : state),
        paint: (text, { state }) => paintState(text, state, style),
      },
      { title: 'CPUS', cell: ({ cpus }) => String(cpus), align: 'right' },
      { title: 'MEMORY', cell: ({ memory }) => formatBytes(memory), align: 'right' },
      { title: 'PID', cell: ({ pid }) => String(pid ?? ''), align: 'right' },
      { title: 'UID', cell: ({ uid }) => String(uid ?? ''), align: 'right' },
      { title: 'TAGS', cell: ({ tags }) => tags.join(','), fold: true },
      { title: 'DESCRIPTION', cell: ({ description }) => description, fold: true },
    ],
    style,
  );
}
