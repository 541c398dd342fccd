/** How to log in to a machine, and by which key its guest proves itself: kept for each machine in a directory of the user's. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { errnoText } from '../../api/errno-text.ts';
import type { CommandFault } from '../command.ts';
import type { Context } from '../context.ts';
import { loginName } from '../images/image-name.ts';
import { ownPlace } from '../images/image-store.ts';

export interface Login {
  /** Undefined: not known. */
  readonly user?: string;
  /** A file with a private key. */
  readonly identity?: string;
}

export interface LoginPlace {
  readonly directory: string;
  /** In the form of ssh, one name: `hostKeyAlias`. */
  readonly knownHosts: string;
  readonly hostKeyAlias: string;
  /** A private key for this machine alone, of a user who had none. */
  readonly ownKey: string;
}

export interface LoginKeys {
  /** The public half of the guest's, by which it proves itself. */
  readonly guest: string;
  /** What is kept in `ownKey`. */
  readonly own: string | undefined;
}

const maxLoginBytes = 16 * 1024;

/** Machines of the two instances may have one name. */
export function loginPlace(
  { io: { env } }: Pick<Context, 'io'>,
  instance: 'system' | 'session',
  name: string,
): LoginPlace | CommandFault {
  const state = ownPlace(env, 'STATE');
  if (typeof state !== 'string') return state;
  const directory = `${state}/ssh/${instance}/${name}`;
  return {
    directory,
    knownHosts: `${directory}/known_hosts`,
    hostKeyAlias: `${name}.qward`,
    ownKey: `${directory}/key`,
  };
}

export function readLogin({ directory }: LoginPlace): Login {
  try {
    const text = readFileSync(`${directory}/login.json`, 'utf8');
    const data: unknown = text.length > maxLoginBytes ? undefined : JSON.parse(text);
    if (typeof data !== 'object' || data === null) return {};
    const user =
      'user' in data && typeof data.user === 'string' && loginName.test(data.user) ? data.user : undefined;
    const identity = 'identity' in data && typeof data.identity === 'string' ? data.identity : undefined;
    return { ...(user === undefined ? {} : { user }), ...(identity === undefined ? {} : { identity }) };
  } catch {
    return {};
  }
}

/** Replaces what was kept of an earlier machine of this name. */
export function keepLogin(
  place: LoginPlace,
  login: Login,
  { guest, own }: LoginKeys,
): CommandFault | undefined {
  try {
    mkdirSync(place.directory, { recursive: true, mode: 0o700 });
    if (own === undefined) rmSync(place.ownKey, { force: true });
    else replace(place.ownKey, own);
    replace(`${place.directory}/login.json`, `${JSON.stringify(login)}\n`);
    replace(place.knownHosts, `${place.hostKeyAlias} ${guest}\n`);
    return undefined;
  } catch (error) {
    return { message: `${place.directory} cannot be written: ${errnoText(error)}`, hint: '' };
  }
}

export function forgetLogin({ directory }: LoginPlace): void {
  rmSync(directory, { recursive: true, force: true });
}

function replace(path: string, text: string): void {
  const part = `${path}.${randomBytes(6).toString('hex')}`;
  writeFileSync(part, text, { flag: 'wx', mode: 0o600 });
  renameSync(part, path);
}
