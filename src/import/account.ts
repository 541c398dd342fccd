/** The account of an import: what became of each piece of the foreign document, and the notes of it for a person. */
import type { Verdict } from './verdict.ts';

export interface Note {
  readonly kind: 'changed' | 'unsupported';
  /** What it is about, in the words of the document: `devices/disk vda/driver@queues`. */
  readonly subject: string;
  readonly message: string;
  /** Where it stands, in ascending order; more than one where several places share the note. */
  readonly lines: readonly number[];
}

export interface Account {
  /** Pieces of the document: elements, attributes and texts, or keys and arguments. */
  readonly imported: number;
  readonly changed: number;
  readonly unsupported: number;
  readonly notes: readonly Note[];
}

/** Why nothing can be made of a document. */
export interface ImportFault {
  readonly message: string;
  readonly hint: string;
  readonly line?: number;
  readonly column?: number;
}

export interface Entry {
  readonly verdict: Verdict;
  readonly subject: string;
  readonly line: number;
  /** A part of something that has the note already: it counts and is not said again. */
  readonly quiet?: boolean;
  /** A further note of something that is counted already. */
  readonly uncounted?: boolean;
  /** The note is not joined with those of other subjects. */
  readonly alone?: boolean;
}

/** What two subjects share: `disk vda/address` and `video/address` are `address`. */
function inCommon(one: string, other: string): string {
  if (one === other) return one;
  const [a, b] = [one, other].map((text) => text.split(/(?=[/@])/));
  const shared: string[] = [];
  for (let depth = 1; a?.at(-depth) !== undefined && a.at(-depth) === b?.at(-depth); depth += 1)
    shared.unshift(a.at(-depth) ?? '');
  const [first = ''] = one.split(/[ /@]/);
  const end = shared.join('').replace(/^\//, '');
  return end === '' && other.split(/[ /@]/)[0] === first ? first : end;
}

/** What is not supported comes first; within each kind the order is that of the document. */
export function accountOf(entries: readonly Entry[]): Account {
  const counts = { imported: 0, changed: 0, unsupported: 0 };
  const notes = new Map<string, { kind: Note['kind']; subject: string; message: string; lines: number[] }>();
  for (const { verdict, subject, line, quiet, alone, uncounted } of entries) {
    if (uncounted !== true) counts[verdict.is] += 1;
    if (verdict.is === 'imported' || quiet === true) continue;
    const { is: kind, note: message } = verdict;
    const key = `${kind} ${message} ${alone === true ? subject : ''}`;
    const known = notes.get(key);
    if (known === undefined) notes.set(key, { kind, subject, message, lines: [line] });
    else {
      known.subject = inCommon(known.subject, subject);
      if (!known.lines.includes(line)) known.lines.push(line);
    }
  }
  const first = (note: Note): number => Math.min(...note.lines);
  const sorted = [...notes.values()].map((note) => ({ ...note, lines: note.lines.sort((a, b) => a - b) }));
  sorted.sort((a, b) => b.kind.localeCompare(a.kind) || first(a) - first(b));
  return { ...counts, notes: sorted };
}
