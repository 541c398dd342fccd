/** Faults in a definition, placed in the file that they are in. */
import type { ApiFault } from '../api/errors.ts';
import type { CommandFault } from './command.ts';

/** The line of the source and a mark beneath the column. */
function excerpt(source: string, line: number, column: number | undefined): string {
  const text = source.split('\n')[line - 1];
  if (text === undefined) return '';
  const number = String(line);
  const mark = column === undefined ? '' : `\n${' '.repeat(number.length)} | ${' '.repeat(column - 1)}^`;
  return `${number} | ${text.replaceAll('\t', ' ')}${mark}`;
}

export function placeFaults(
  faults: readonly ApiFault[],
  file: string,
  source: string,
): readonly CommandFault[] {
  return faults.map((fault) => {
    const shown = fault.line === undefined ? '' : excerpt(source, fault.line, fault.column);
    return shown === '' ? { ...fault, file } : { ...fault, file, excerpt: shown };
  });
}
