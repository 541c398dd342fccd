/** `qward doctor`. */
import type { CallResult } from '../../api/calls.ts';
import { escapeLine } from './escape.ts';
import type { Style } from './style.ts';
import { hangingText } from './table.ts';

type Check = CallResult<'doctor'>['checks'][number];

function mark(state: Check['state'], style: Style): string {
  const text = state.padEnd('degraded'.length);
  if (state === 'ok') return style.green(text);
  return state === 'degraded' ? style.yellow(text) : style.red(text);
}

export function renderDoctor(report: CallResult<'doctor'>, style: Style): string {
  const longest = Math.max(0, ...report.checks.map(({ check }) => check.length));
  const lines = report.checks.map((check) => {
    const name = escapeLine(check.check).padEnd(longest);
    const cure =
      check.state === 'ok' || check.cure === ''
        ? ''
        : `\n${' '.repeat(12)}${style.cyan(hangingText(`cure: ${escapeLine(check.cure)}`, 18, style))}`;
    const found = hangingText(escapeLine(check.found), 'degraded'.length + longest + 4, style);
    return `${mark(check.state, style)}  ${style.bold(name)}  ${found}${cure}`;
  });
  const verdict = report.ok
    ? style.green('This host can give every mandatory wall.')
    : style.red('Something mandatory is missing: no machine can start here until it is cured.');
  return `${lines.join('\n')}\n\n${verdict}\n`;
}
