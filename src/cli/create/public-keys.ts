/** Public keys that a user names for a guest, or has. */
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { errnoText } from '../../api/errno-text.ts';
import type { CommandFault } from '../command.ts';

export interface UserKey {
  readonly lines: readonly string[];
  /** The private key that belongs to it, where it lies beside. */
  readonly identity?: string;
}

const maxKeyFileBytes = 64 * 1024;
const keyLine =
  /^(?:ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp(?:256|384|521)|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com) [A-Za-z0-9+/]{40,}={0,2}(?: [^\u0000-\u001f\u007f]*)?$/;
const usualKeys = ['id_ed25519', 'id_ecdsa', 'id_rsa', 'id_ed25519_sk', 'id_ecdsa_sk'];

/** The keys of the files, or of the user's home where none is named; there may be none. */
export function readUserKeys(
  files: readonly string[],
  home: string | undefined,
): readonly UserKey[] | readonly [CommandFault, ...CommandFault[]] {
  const named = files.length > 0 ? files.map((file) => publicHalf(resolve(file))) : usualOf(home);
  const keys: UserKey[] = [];
  const faults: CommandFault[] = [];
  for (const path of named) {
    const read = readKeys(path);
    if ('message' in read) faults.push(read);
    else keys.push(read);
  }
  const [first, ...rest] = faults;
  return first === undefined ? keys : [first, ...rest];
}

export const isFaults = (
  read: readonly UserKey[] | readonly CommandFault[],
): read is readonly CommandFault[] => read.some((one) => 'message' in one);

/** Who names the private key means the public one: the private one is not read. */
function publicHalf(path: string): string {
  return !path.endsWith('.pub') && isFile(`${path}.pub`) ? `${path}.pub` : path;
}

function usualOf(home: string | undefined): readonly string[] {
  if (home === undefined || home === '') return [];
  return usualKeys
    .map((name) => `${home}/.ssh/${name}.pub`)
    .filter(isFile)
    .slice(0, 1);
}

const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() === true;

function readKeys(path: string): UserKey | CommandFault {
  try {
    if (statSync(path).size > maxKeyFileBytes)
      return { message: `${path} is larger than 64 KiB`, hint: 'name a public key' };
    const lines = readFileSync(path, 'utf8')
      .split(/\r?\n/)
      .map((line) => line.trim())
      .filter((line) => line !== '' && !line.startsWith('#'));
    if (lines.length === 0 || !lines.every((line) => keyLine.test(line)))
      return { message: `${path} is no file of public keys`, hint: 'name one such as ~/.ssh/id_ed25519.pub' };
    const identity = path.replace(/\.pub$/, '');
    return { lines, ...(identity !== path && isFile(identity) ? { identity } : {}) };
  } catch (error) {
    return { message: `${path} cannot be read: ${errnoText(error)}`, hint: '' };
  }
}
