/** `qward vnc --status`. */
import type { CallResult } from '../../api/calls.ts';
import type { Style } from './style.ts';
import { renderTable } from './table.ts';

export function renderScreens(screens: CallResult<'screens'>['screens'], style: Style): string {
  if (screens.length === 0) return 'No machine that you may see shows a screen.\n';
  const rows = screens.flatMap(({ name, viewers }) =>
    viewers.length === 0 ? [{ name, user: '', since: '' }] : viewers.map((viewer) => ({ name, ...viewer })),
  );
  return renderTable(
    rows,
    [
      { title: 'MACHINE', cell: ({ name }) => name },
      { title: 'VIEWER', cell: ({ user }) => user },
      { title: 'SINCE', cell: ({ since }) => since },
    ],
    style,
  );
}
