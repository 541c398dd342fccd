/** `qward audit`: each wall with what was expected and found, then what the guest can attack. */
import type { CallResult } from '../../api/calls.ts';
import { escapeLine } from './escape.ts';
import type { Style } from './style.ts';
import { renderTable } from './table.ts';

type Report = CallResult<'audit'>;
type Row = Report['rows'][number];

const verdictText = { ok: 'ok', differs: 'DIFFERS', missing: 'missing' } as const;

function paintVerdict(text: string, row: Row, style: Style): string {
  if (row.verdict === 'ok') return style.green(text);
  return row.verdict === 'differs' ? style.red(text) : style.yellow(text);
}

function headline(report: Report, style: Style): string {
  const bad = report.rows.filter(({ verdict }) => verdict === 'differs').length;
  const stands = bad === 0;
  const missing = report.rows.filter(({ verdict }) => verdict === 'missing').length;
  const verdict = stands
    ? style.green(`${report.rows.length - missing} walls stand`)
    : style.red(`${bad} of ${report.rows.length} walls differ`);
  const absent = missing === 0 ? '' : style.yellow(`, ${missing} not on this host`);
  const subject = escapeLine(report.machine ?? 'not a machine of qward');
  return `${style.bold(subject)}  pid ${report.pid}  ${verdict}${absent}\n`;
}

export function renderAudit(report: Report, style: Style): string {
  const walls = renderTable(
    report.rows,
    [
      { title: 'WALL', cell: ({ wall }) => wall },
      {
        title: 'VERDICT',
        cell: ({ verdict }) => verdictText[verdict],
        paint: (text, row) => paintVerdict(text, row, style),
      },
      { title: 'EXPECTED', cell: ({ expected }) => expected, fold: true },
      {
        title: 'FOUND',
        cell: ({ found }) => found,
        fold: true,
        paint: (text, row) => (row.verdict === 'differs' ? style.red(text) : text),
      },
    ],
    style,
  );
  const exposure =
    report.exposure.length === 0
      ? ''
      : `\n${renderTable(
          report.exposure,
          [
            { title: 'EXPOSURE', cell: ({ subject }) => subject },
            { title: 'FOUND', cell: ({ found }) => found, fold: true },
            { title: 'NOTE', cell: ({ note }) => note, fold: true },
          ],
          style,
        )}`;
  const helpers = (report.helpers ?? []).map((helper) => `\n${renderAudit(helper, style)}`);
  return `${headline(report, style)}\n${walls}${exposure}${helpers.join('')}`;
}
