/** Small pieces of YAML as text: scalars that read back as what they are, and lines of a text. */
import { parse } from 'yaml';

/** A map is written as JSON has it. */
export type NewValue = string | number | boolean | readonly (string | Readonly<Record<string, string>>)[];

function scalarText(value: string | number | boolean | Readonly<Record<string, string>>): string {
  if (typeof value === 'object') return JSON.stringify(value);
  if (typeof value !== 'string') return String(value);
  const plain =
    /^[\w/][\w/.@%+=:-]*(?: [\w/.@%+=:-]+)*$/.test(value) && !/:( |$)/.test(value) && !/ -( |$)/.test(value);
  // JSON's quotes are YAML's, also within flow brackets.
  return plain && parse(value) === value ? value : JSON.stringify(value);
}

/** A value on one line, in a block as well as between flow brackets. */
export function valueText(value: NewValue): string {
  return typeof value === 'object' ? `[${value.map(scalarText).join(', ')}]` : scalarText(value);
}

export function lineStart(text: string, offset: number): number {
  return text.lastIndexOf('\n', offset - 1) + 1;
}

/** Behind the line break, or the end of the text. */
export function nextLine(text: string, offset: number): number {
  const end = text.indexOf('\n', offset);
  return end === -1 ? text.length : end + 1;
}

export function spliced(text: string, from: number, to: number, insert: string): string {
  return text.slice(0, from) + insert + text.slice(to);
}
