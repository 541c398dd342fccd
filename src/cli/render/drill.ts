/** `qward drill`: each attempt with the wall, what stopped it, and what it comes to outside. */
import type { CallResult } from '../../api/calls.ts';
import { escapeLine } from './escape.ts';
import type { Style } from './style.ts';
import { renderTable } from './table.ts';

type Report = CallResult<'drill'>;
type Row = Report['rows'][number];

const verdictText = { blocked: 'blocked', through: 'GOT THROUGH', inconclusive: 'inconclusive' } as const;

function paintVerdict(text: string, { verdict }: Row, style: Style): string {
  if (verdict === 'blocked') return style.green(text);
  return verdict === 'through' ? style.red(text) : style.yellow(text);
}

function headline({ machine, rows, ok }: Report, style: Style): string {
  const count = (verdict: Row['verdict']): number => rows.filter((row) => row.verdict === verdict).length;
  const [through, open] = [count('through'), count('inconclusive')];
  const unclear = open === 0 ? '' : style.yellow(`, ${open} inconclusive`);
  const result = ok
    ? style.green(`all ${rows.length} attempts blocked`)
    : `${style.red(`${through} of ${rows.length} attempts got through`)}${unclear}`;
  return `${style.bold(escapeLine(machine))}  ${result}\n`;
}

export function renderDrill(report: Report, style: Style): string {
  const table = renderTable(
    report.rows,
    [
      { title: 'PROBE', cell: ({ probe }) => probe },
      { title: 'WALL', cell: ({ wall }) => wall },
      {
        title: 'VERDICT',
        cell: ({ verdict }) => verdictText[verdict],
        paint: (text, row) => paintVerdict(text, row, style),
      },
      { title: 'HOW', cell: ({ how }) => how },
      { title: 'ATTEMPT', cell: ({ attempt }) => attempt, fold: true },
      { title: 'CONTROL', cell: ({ control }) => control, fold: true },
    ],
    style,
  );
  return `${headline(report, style)}\n${table}`;
}
