/** What was done, an entry a line; and how the history and the broker's log differ. */
import type { CallResult } from '../../api/calls.ts';
import { escapeLine } from './escape.ts';
import type { Style } from './style.ts';

export type HistoryEntry = CallResult<'history'>[number];

function paintOutcome({ outcome, code, rule }: HistoryEntry, style: Style): string {
  const why = [code, rule].filter((part) => part !== null).join(', ');
  const text = escapeLine(why === '' ? outcome : `${outcome} (${why})`);
  if (outcome === 'done') return style.green(text);
  return outcome === 'begun' ? style.dim(text) : style.red(text);
}

export function renderHistoryEntry(entry: HistoryEntry, style: Style): string {
  const { at, user, uid, pid, call, machine, details } = entry;
  const process = pid === null || pid === 0 ? '' : ` pid ${pid}`;
  const parts = [
    style.dim(escapeLine(at)),
    escapeLine(user === String(uid) ? `uid ${uid}${process}` : `${user} (${uid})${process}`),
    style.bold(escapeLine(call)),
    ...(machine === null ? [] : [escapeLine(machine)]),
    paintOutcome(entry, style),
    ...(details === null ? [] : [style.dim(escapeLine(details))]),
  ];
  return `${parts.join('  ')}\n`;
}

export function renderComparison(
  { same, from, compared, differences, claims }: CallResult<'historyCompare'>,
  style: Style,
): string {
  const scope = `since ${escapeLine(from)}, ${compared} entries of the broker`;
  const said = claims.length === 0 ? '' : renderClaims(claims, style);
  if (same) return `${said}${style.green('no difference')}  ${style.dim(scope)}\n`;
  const lines = differences.map(
    ({ at, kind, machine, message }) =>
      `${style.dim(escapeLine(at))}  ${style.red(escapeLine(kind))}  ${style.bold(escapeLine(machine))}  ${escapeLine(message)}\n`,
  );
  return `${said}${lines.join('')}${differences.length} differences  ${style.dim(scope)}\n`;
}

/** Users chose the details: each line is one line, whatever is in it. */
function renderClaims(claims: CallResult<'historyCompare'>['claims'], style: Style): string {
  const lines = claims.map(({ at, uid, call, machine, ok, details }) => {
    const who = uid === null ? 'somebody' : `uid ${uid}`;
    const what = ok ? escapeLine(call) : style.red(`${escapeLine(call)} refused`);
    return `${style.dim(escapeLine(at))}  ${who}  ${what}  ${style.bold(escapeLine(machine))}  ${style.dim(escapeLine(details))}\n`;
  });
  return `users said to the broker themselves:\n${lines.join('')}`;
}
