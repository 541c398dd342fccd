/** Files of other managers, as the user names them: paths, patterns, directories, standard input. */
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { errnoText } from '../../api/errno-text.ts';
import type { CommandFault } from '../command.ts';
import type { Io } from '../io.ts';

/** As much as a document may have; above it nothing is read. */
const mostBytes = 1024 * 1024;

export interface ForeignText {
  /** As the user named it; empty for standard input. */
  readonly file: string;
  readonly text: string;
}

const isPattern = (word: string): boolean => /[*?]/.test(word) && !existsSync(word);

function matches(pattern: string, name: string): boolean {
  const parts = Array.from(pattern).map((character) =>
    character === '*' ? '.*' : character === '?' ? '.' : character.replaceAll(/[^\w]/g, String.raw`\$&`),
  );
  return !name.startsWith('.') && new RegExp(`^${parts.join('')}$`, 'su').test(name);
}

/** The files that a word means, in order; a fault where there are none. */
export function filesOfWord(word: string, ending: string): readonly string[] | CommandFault {
  try {
    if (word === '-') return [word];
    const pattern = isPattern(word);
    if (!pattern && !statSync(word).isDirectory()) return [word];
    const directory = pattern ? dirname(word) : word;
    const last = pattern ? word.slice(word.lastIndexOf('/') + 1) : `*${ending}`;
    const files = readdirSync(directory)
      .filter((name) => matches(last, name))
      .sort()
      .map((name) => (pattern && !word.includes('/') ? name : join(directory, name)));
    if (files.length > 0) return files;
    return { message: `${word}: no file is called so`, hint: '' };
  } catch (error) {
    return { message: `${word} cannot be read: ${errnoText(error)}`, hint: '' };
  }
}

function bytesOf(path: string): Buffer | string {
  const descriptor = openSync(path, 'r');
  try {
    const { size } = fstatSync(descriptor);
    if (size > mostBytes) return `is larger than ${mostBytes / 1024} KiB`;
    return readFileSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Its text, or why it is none. */
export function readForeign(io: Pick<Io, 'readInput'>, file: string): ForeignText | CommandFault {
  if (file === '-') return { file: '', text: io.readInput() };
  try {
    const bytes = bytesOf(file);
    if (typeof bytes === 'string')
      return { file, message: `${file} ${bytes}`, hint: 'Is it the right file?' };
    return { file, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch (error) {
    const message =
      error instanceof TypeError && !('syscall' in error)
        ? 'is no UTF-8'
        : `cannot be read: ${errnoText(error)}`;
    return {
      file,
      message: `${file} ${message}`,
      hint: message === 'is no UTF-8' ? 'Convert it: iconv -t UTF-8.' : '',
    };
  }
}

/** UEFI variables as the API takes them, or why there are none. */
export function readVariables(file: string): { readonly variables: string } | CommandFault {
  try {
    const bytes = bytesOf(file);
    if (typeof bytes === 'string')
      return { file, message: `${file} ${bytes}`, hint: 'Is it the right file?' };
    return { variables: gzipSync(bytes).toString('base64') };
  } catch (error) {
    return {
      file,
      message: `${file} cannot be read: ${errnoText(error)}`,
      hint: 'Such files are root’s: sudo.',
    };
  }
}
