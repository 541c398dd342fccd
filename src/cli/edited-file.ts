/** The file that `qward edit` opens, and the comments in which faults are shown there. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ApiFault } from '../api/errors.ts';
import { escapeLine } from './render/escape.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const faultMark = '#! ';

/** The definition with its faults above it; line numbers are those of the definition without them. */
export function withFaultComments(source: string, faults: readonly ApiFault[]): string {
  const lines = faults.flatMap(({ line, column, message, hint }) => {
    const place =
      line === undefined ? '' : `line ${line}${column === undefined ? '' : `, column ${column}`}: `;
    return [
      `${faultMark}${place}${escapeLine(message)}`,
      ...(hint === '' ? [] : [`${faultMark}  ${escapeLine(hint)}`]),
    ];
  });
  const head = [
    `${faultMark}Not taken over yet. Lines that begin with "${faultMark.trim()}" are removed again, and line numbers count without them.`,
    `${faultMark}Saving without a change gives up.`,
  ];
  return `${[...head, ...lines].join('\n')}\n${source}`;
}

export function withoutFaultComments(text: string): string {
  return text
    .split('\n')
    .filter((line) => !line.startsWith(faultMark))
    .join('\n');
}

/**
 * SECURITY: promise 1. An environment that root took over from a user (`su`) names that user's directories, in which the
 * user could put a link in place of ours.
 */
function isOwnPlace(path: string | undefined): boolean {
  const stats = path === undefined || path === '' ? undefined : statSync(path, { throwIfNoEntry: false });
  return stats !== undefined && (stats.uid === 0 || stats.uid === process.getuid?.());
}

/** A file in a directory that only its user can enter. */
export class EditedFile {
  readonly #directory: string;
  readonly #path: string;
  #kept = false;

  private constructor(directory: string, name: string) {
    this.#directory = directory;
    this.#path = join(directory, `${name}.yaml`);
  }

  static create(name: string, env: Environment): EditedFile {
    const parent = [env['XDG_RUNTIME_DIR'], tmpdir()].find(isOwnPlace) ?? '/tmp';
    return new EditedFile(mkdtempSync(join(parent, 'qward-edit-')), name);
  }

  write(text: string): void {
    writeFileSync(this.#path, text, { mode: 0o600 });
  }

  read(): string {
    return readFileSync(this.#path, 'utf8');
  }

  /** The user's own editor with the user's own rights; like `git`, by a shell, so that it may have options. */
  openEditor(env: Environment): { readonly ok: true } | { readonly ok: false; readonly message: string } {
    const editor = env['VISUAL'] || env['EDITOR'] || 'vi';
    const { status, signal, error } = spawnSync('/bin/sh', ['-c', `${editor} "$1"`, 'sh', this.#path], {
      stdio: 'inherit',
    });
    if (error === undefined && status === 0) return { ok: true };
    const reason = error?.message ?? (signal === null ? `status ${status}` : `signal ${signal}`);
    return { ok: false, message: `the editor "${editor}" ended with ${reason}; nothing was changed` };
  }

  /** Leaves the file where it is, and says where. */
  keep(): string {
    this.#kept = true;
    return `What you wrote is in ${this.#path}`;
  }

  remove(): void {
    if (!this.#kept) rmSync(this.#directory, { recursive: true, force: true });
  }
}
