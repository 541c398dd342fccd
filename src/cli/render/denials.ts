/** `qward why`. */
import type { CallResult } from '../../api/calls.ts';
import { escapeLine } from './escape.ts';
import type { Style } from './style.ts';
import { hangingText } from './table.ts';

export function renderDenials({ name, denials }: CallResult<'why'>, style: Style): string {
  const title = style.bold(escapeLine(name));
  if (denials.length === 0) return `${title}  nothing that it said, or the kernel, tells of a denial\n`;
  return denials
    .map(
      ({ said, wanted, cure }) =>
        `${title}  wanted ${style.yellow(escapeLine(wanted))}\n` +
        `  ${hangingText(escapeLine(`to grant it: ${cure}`), 2, style)}\n` +
        `  ${style.dim(hangingText(escapeLine(said), 2, style))}\n`,
    )
    .join('');
}
