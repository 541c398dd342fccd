/** The rows of the bench, what each must reach, and how they are shown. */

export type Target =
  | { readonly kind: 'ratio'; readonly atMost: number }
  | { readonly kind: 'share'; readonly atLeast: number }
  | { readonly kind: 'at-most'; readonly value: number }
  | { readonly kind: 'at-least'; readonly value: number };

export interface Row {
  readonly what: string;
  readonly unit: string;
  /** Null: could not be measured here, `note` says why. */
  readonly qward: number | null;
  /** What it is held against: libvirt or bare QEMU. */
  readonly other: number | null;
  readonly target: Target;
  readonly note: string;
}

export interface Judged extends Row {
  readonly ratio: number | null;
  /** Null: not measured. */
  readonly met: boolean | null;
}

export function judge(row: Row): Judged {
  const { qward, other, target } = row;
  const ratio = qward === null || other === null || other === 0 ? null : qward / other;
  const measured = target.kind === 'ratio' || target.kind === 'share' ? ratio : qward;
  return { ...row, ratio, met: measured === null ? null : isMet(target, measured) };
}

function isMet(target: Target, measured: number): boolean {
  switch (target.kind) {
    case 'ratio':
      return measured <= target.atMost;
    case 'share':
      return measured >= target.atLeast;
    case 'at-most':
      return measured <= target.value;
    case 'at-least':
      return measured >= target.value;
  }
}

function wanted({ target, unit }: Row): string {
  switch (target.kind) {
    case 'ratio':
      return `ratio ≤ ${target.atMost.toFixed(2)}`;
    case 'share':
      return `ratio ≥ ${target.atLeast.toFixed(2)}`;
    case 'at-most':
      return `≤ ${target.value} ${unit}`;
    case 'at-least':
      return `≥ ${target.value} ${unit}`;
  }
}

const number = (value: number | null, unit: string): string =>
  value === null ? '-' : `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ${unit}`;

export function render(rows: readonly Judged[]): string {
  const cells = [
    ['', 'qward', 'other', 'ratio', 'must reach', ''],
    ...rows.map((row) => [
      row.what,
      number(row.qward, row.unit),
      number(row.other, row.unit),
      row.ratio === null ? '-' : row.ratio.toFixed(2),
      wanted(row),
      `${row.met === null ? 'not measured' : row.met ? 'met' : 'MISSED'}${row.note === '' ? '' : ` (${row.note})`}`,
    ]),
  ];
  const widths = (cells[0] ?? []).map((_, column) =>
    Math.max(...cells.map((line) => line[column]?.length ?? 0)),
  );
  return cells
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
