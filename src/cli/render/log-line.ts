/** One line of a machine's log. */
import type { CallResult } from '../../api/calls.ts';
import { escapeLine } from './escape.ts';
import type { Style } from './style.ts';

type Line = CallResult<'logs'>['lines'][number];

export function renderLogLine({ at, from, text }: Line, style: Style): string {
  const source = from === 'qward' ? style.cyan(from) : style.yellow(from.padEnd('qward'.length));
  return `${style.dim(escapeLine(at))}  ${source}  ${escapeLine(text)}\n`;
}
