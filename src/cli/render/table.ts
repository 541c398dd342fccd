/** Rows in columns. Cells are escaped here; colours are put on after the widths are known. */
import { escapeLine } from './escape.ts';
import type { Style } from './style.ts';

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => string;
  readonly align?: 'right';
  /** Folded over several lines where the terminal is too narrow; the widest such column gives way first. */
  readonly fold?: true;
  readonly paint?: (text: string, row: Row) => string;
}

const gap = '  ';
const minimumFolded = 12;

/** Code points are near enough: names, paths and numbers are all that stands in our tables. */
const width = (text: string): number => Array.from(text).length;
const ascii = /^[ -~]*$/;

/** Breaks at spaces where it can, else behind commas, else behind the slashes of a path, else anywhere. */
export function foldText(text: string, limit: number): string[] {
  const lines: string[] = [];
  let rest = text;
  while (width(rest) > limit) {
    const space = rest.lastIndexOf(' ', limit);
    const comma = rest.lastIndexOf(',', limit - 1) + 1;
    const slash = rest.lastIndexOf('/', limit - 1) + 1;
    const cut = [space, comma, slash].find((at) => at > limit / 3) ?? limit;
    lines.push(rest.slice(0, cut));
    rest = rest.slice(cut).trimStart();
  }
  return [...lines, rest];
}

/** One line of the screen: a row, or a part of a row that is folded. */
interface Line<Row> {
  readonly row: Row;
  readonly cells: readonly string[];
}

interface Layout<Row> {
  readonly lines: readonly Line<Row>[];
  /** Columns that a text takes on the screen. */
  readonly width: (text: string) => number;
}

/** The cells as they are shown. One look at all of them spares a list of hundreds a look at each. */
function cellsOf<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): Layout<Row> {
  const lines = rows.map((row) => ({ row, cells: columns.map(({ cell }) => cell(row) || '-') }));
  if (ascii.test(lines.map(({ cells }) => cells.join('')).join('')))
    return { lines, width: ({ length }) => length };
  return { lines: lines.map(({ row, cells }) => ({ row, cells: cells.map(escapeLine) })), width };
}

function naturalWidths<Row>({ lines, width }: Layout<Row>, columns: readonly Column<Row>[]): number[] {
  return columns.map(({ title }, index) => {
    let widest = title.length;
    for (const { cells } of lines) {
      const needed = width(cells[index] ?? '');
      if (needed > widest) widest = needed;
    }
    return widest;
  });
}

/** Narrower widths, as far as columns that fold allow it. */
function foldedWidths(
  natural: readonly number[],
  columns: readonly { readonly fold?: true }[],
  excess: number,
): readonly number[] {
  const widths = [...natural];
  const folding = columns.flatMap(({ fold }, index) => (fold === true ? [index] : []));
  const widest = (): number =>
    folding.reduce(
      (best, index) => ((widths[index] ?? 0) > (widths[best] ?? 0) ? index : best),
      folding[0] ?? -1,
    );
  let left = excess;
  for (let index = widest(); left > 0 && (widths[index] ?? 0) > minimumFolded; index = widest()) {
    widths[index] = (widths[index] ?? 0) - 1;
    left -= 1;
  }
  return widths;
}

function foldLine<Row>({ row, cells }: Line<Row>, widths: readonly number[]): readonly Line<Row>[] {
  const folded = cells.map((text, column) => foldText(text, widths[column] ?? 0));
  const height = Math.max(...folded.map(({ length }) => length));
  return Array.from({ length: height }, (_, at) => ({ row, cells: folded.map((part) => part[at] ?? '') }));
}

/** Column by column: for hundreds of rows that is several times faster than row by row in a program that has just started. */
function draw<Row>(
  { lines, width }: Layout<Row>,
  columns: readonly Column<Row>[],
  options: { readonly widths: readonly number[]; readonly style: Style },
): string {
  const drawn = lines.map(() => '');
  let header = '';
  for (const [index, { title, align, paint }] of columns.entries()) {
    const wide = options.widths[index] ?? 0;
    const left = align !== 'right';
    const last = index === columns.length - 1;
    const pad = (text: string): string => {
      if (last && left) return text;
      const blank = ' '.repeat(Math.max(0, wide - width(text)));
      return left ? text + blank : blank + text;
    };
    const before = index === 0 ? '' : gap;
    header += before + pad(title);
    const painted = options.style.color ? paint : undefined;
    let at = 0;
    for (const { row, cells } of lines) {
      const text = pad(cells[index] ?? '');
      drawn[at] += before + (painted === undefined ? text : painted(text, row));
      at += 1;
    }
  }
  const body = drawn.map((line) => `${line.trimEnd()}\n`).join('');
  return `${options.style.bold(header.trimEnd())}\n${body}`;
}

export function renderTable<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  style: Style,
): string {
  const layout = cellsOf(rows, columns);
  const natural = naturalWidths(layout, columns);
  const excess = natural.reduce((sum, one) => sum + one + gap.length, -gap.length) - style.columns;
  if (excess <= 0) return draw(layout, columns, { widths: natural, style });
  const widths = foldedWidths(natural, columns, excess);
  const lines = layout.lines.flatMap((line) => foldLine(line, widths));
  return draw({ ...layout, lines }, columns, { widths, style });
}

/** Folded to the terminal; each line but the first begins with `indent` spaces. */
export function hangingText(text: string, indent: number, style: Style): string {
  const limit = Math.max(minimumFolded, style.columns - indent);
  return foldText(text, limit).join(`\n${' '.repeat(indent)}`);
}

/** `key  value` lines; empty values are left out, and painted ones not folded. */
export function renderFields(fields: readonly (readonly [string, string])[], style: Style): string {
  const given = fields.filter(([, value]) => value !== '');
  const longest = Math.max(0, ...given.map(([key]) => width(key)));
  const shown = (value: string): string =>
    value.includes('\u001b') ? value : hangingText(value, longest + 2 * gap.length, style);
  return given
    .map(([key, value]) => `${gap}${style.dim(key.padEnd(longest))}${gap}${shown(value)}\n`)
    .join('');
}
