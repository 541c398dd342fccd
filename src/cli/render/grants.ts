/** Who has which rights on a machine. */
import type { CallResult } from '../../api/calls.ts';
import { escapeLine } from './escape.ts';
import { renderFields, renderTable } from './table.ts';
import type { Style } from './style.ts';

export function renderGrants({ name, owner, grants }: CallResult<'grants'>, style: Style): string {
  const head = `${style.bold(escapeLine(name))}\n${renderFields([['owner', escapeLine(owner)]], style)}`;
  if (grants.length === 0) return `${head}  ${style.dim('nothing is granted to others')}\n`;
  const columns = [
    { title: 'WHO', cell: (row: (typeof grants)[number]) => row.who },
    { title: 'ID', cell: (row: (typeof grants)[number]) => String(row.id), align: 'right' },
    { title: 'RIGHTS', cell: (row: (typeof grants)[number]) => row.rights.join(', ') },
  ] as const;
  return `${head}${renderTable(grants, columns, style)}`;
}
