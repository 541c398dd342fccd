/** What became of a foreign document, for a person who moves in: what is left out first, each with its lines. */
import type { Account, Note } from '../../import/account.ts';
import { escapeLine } from './escape.ts';
import type { Style } from './style.ts';

const mostLines = 4;

/** `line 12`, `lines 3, 8, 40 and 9 more`. */
function linesOf({ lines }: Note, place: string): string {
  if (lines.length === 1) return `${place} ${lines[0] ?? 0}`;
  const shown = lines.slice(0, mostLines);
  const more = lines.length - shown.length;
  return `${place}s ${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** Empty where places of many kinds share the note. */
function subjectOf({ subject }: Note, style: Style): string {
  return subject === '' ? '' : `${style.bold(escapeLine(subject))}: `;
}

function section(title: string, notes: readonly Note[], place: string, style: Style): string {
  if (notes.length === 0) return '';
  const lines = notes.map(
    (note) =>
      `    ${style.dim(`${linesOf(note, place)}:`)} ${subjectOf(note, style)}${escapeLine(note.message)}\n`,
  );
  return `  ${title}\n${lines.join('')}`;
}

export function renderAccount(
  one: { readonly file: string; readonly name: string; readonly account: Account; readonly places?: string },
  style: Style,
): string {
  const place = one.places ?? 'line';
  const { notes, imported, changed, unsupported } = one.account;
  const subject = one.file === '' ? one.name : `${one.file}: ${one.name}`;
  const all = imported + changed + unsupported;
  const counts = `${imported} of ${all} pieces as they are, ${changed} with a change, ${unsupported} left out`;
  return (
    `${style.bold(escapeLine(subject))}: ${counts}\n` +
    section(
      style.red('left out'),
      notes.filter(({ kind }) => kind === 'unsupported'),
      place,
      style,
    ) +
    section(
      'with a change',
      notes.filter(({ kind }) => kind === 'changed'),
      place,
      style,
    )
  );
}
