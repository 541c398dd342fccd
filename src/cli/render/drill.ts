/** `qward drill`: each attempt with the wall, what stopped it, and what it comes to outside. */
import type { CallResult } from '../../api/calls.ts';
import { escapeLine } from './escape.ts';
import type { Style } from './style.ts';
import { hangingText, renderTable, type Column } from './table.ts';

type Report = CallResult<'drill'>;
type Row = Report['rows'][number];

const verdictText = {
  blocked: 'blocked',
  opened: 'opened',
  through: 'GOT THROUGH',
  inconclusive: 'inconclusive',
  missing: 'no wall',
} as const;

function paintVerdict(text: string, { verdict }: Row, style: Style): string {
  if (verdict === 'blocked') return style.green(text);
  return verdict === 'through' ? style.red(text) : style.yellow(text);
}

function headline({ machine, rows, ok }: Report, style: Style): string {
  const count = (verdict: Row['verdict']): number => rows.filter((row) => row.verdict === verdict).length;
  const [through, open, missing] = [count('through'), count('inconclusive'), count('missing')];
  const blocked = missing === 0 ? `all ${rows.length}` : `${count('blocked')} of ${rows.length}`;
  const unclear = open === 0 ? '' : style.yellow(`, ${open} inconclusive`);
  const opened = count('opened');
  const result = ok
    ? style.green(`${blocked} attempts blocked`) +
      (missing === 0 ? '' : style.yellow(`, ${missing} where this instance has no wall`)) +
      (opened === 0 ? '' : style.yellow(`, ${opened} opened by relaxations`))
    : `${style.red(`${through} of ${rows.length} attempts got through`)}${unclear}`;
  return `${style.bold(escapeLine(machine))}  ${result}\n`;
}

/** Terminals of fewer columns have no room for the sentences: there those of what was not blocked stand below the table. */
const leastForSentences = 110;

export function renderDrill(report: Report, style: Style): string {
  const wide = style.columns >= leastForSentences;
  const sentences: Column<Row>[] = [
    { title: 'ATTEMPT', cell: ({ attempt }) => attempt, fold: true },
    { title: 'CONTROL', cell: ({ control }) => control, fold: true },
  ];
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
      ...(wide ? sentences : []),
    ],
    style,
  );
  return `${headline(report, style)}\n${table}${wide ? '' : narrowText(report, style)}`;
}

function narrowText({ rows }: Report, style: Style): string {
  const open = rows
    .filter(({ verdict }) => verdict !== 'blocked')
    .map(({ probe, attempt, control }) => `${probe}: ${attempt}; outside: ${control}`);
  const wider = `A terminal of ${leastForSentences} columns, or --json, shows what was attempted, and what came of it outside.`;
  return `\n${[...open, wider].map((line) => `${hangingText(escapeLine(line), 2, style)}\n`).join('')}`;
}
