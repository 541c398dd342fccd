/** Colours on a terminal, nothing off it. */

type Paint = (text: string) => string;

export interface Style {
  /** Width of the terminal; infinite off it: nothing is cut or folded there. */
  readonly columns: number;
  readonly color: boolean;
  readonly bold: Paint;
  readonly dim: Paint;
  readonly red: Paint;
  readonly green: Paint;
  readonly yellow: Paint;
  readonly cyan: Paint;
}

const paint =
  (on: boolean, start: number, end: number): Paint =>
  (text) =>
    on && text !== '' ? `\u001b[${start}m${text}\u001b[${end}m` : text;

export function createStyle(options: { readonly color: boolean; readonly columns: number }): Style {
  const { color, columns } = options;
  return {
    columns,
    color,
    bold: paint(color, 1, 22),
    dim: paint(color, 2, 22),
    red: paint(color, 31, 39),
    green: paint(color, 32, 39),
    yellow: paint(color, 33, 39),
    cyan: paint(color, 36, 39),
  };
}

export const plainStyle: Style = createStyle({ color: false, columns: Number.POSITIVE_INFINITY });
