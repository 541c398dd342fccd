/**
 * Where a user's session instance lies (XDG Base Directory Specification). Nothing in it is anybody's but the user's; a place
 * that another could have made before is not used.
 */
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Roots } from '../protocol/paths.ts';
import { errorCode } from './errno.ts';

export interface SessionUser {
  readonly uid: number;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Why there is no place for a session; `hint` is the cure. */
export class NoSessionPlace extends Error {
  readonly hint: string;
  constructor(message: string, hint: string) {
    super(message);
    this.name = 'NoSessionPlace';
    this.hint = hint;
  }
}

/** The roots as they are; `run` undefined: no session was ever begun since the host started. Makes nothing. */
export function findSessionRoots(
  user: SessionUser,
): Omit<Roots, 'run'> & { readonly run: string | undefined } {
  const { config, state } = keptRoots(user);
  const runtime = runtimeDirectory(user);
  if (runtime !== undefined) return { config, state, run: `${runtime}/qward` };
  return { config, state, run: linkedRun(state, user.uid) };
}

/** The roots, made where they are missing. Throws NoSessionPlace. */
export function makeSessionRoots(user: SessionUser): Roots {
  const { config, state } = keptRoots(user);
  makeOwn(state, user.uid);
  const runtime = runtimeDirectory(user);
  const run = runtime === undefined ? (linkedRun(state, user.uid) ?? makeRun(state)) : `${runtime}/qward`;
  makeOwn(run, user.uid);
  // No part of a path of a disk may be a link: the default place of images is told as it really is.
  return { config, state: realpathSync(state), run: realpathSync(run) };
}

function keptRoots({ environment }: SessionUser): Omit<Roots, 'run'> {
  const home = (variable: string, below: string): string => {
    const named = environment[variable];
    // Relative ones are to be ignored, says the specification.
    if (named?.startsWith('/') === true) return `${named}/qward`;
    const { HOME } = environment;
    if (HOME?.startsWith('/') === true) return `${HOME}/${below}/qward`;
    throw new NoSessionPlace(
      `there is no place for what is kept of your machines: neither ${variable} nor HOME is set`,
      `set HOME, or ${variable}`,
    );
  };
  return { config: home('XDG_CONFIG_HOME', '.config'), state: home('XDG_STATE_HOME', '.local/state') };
}

/** Of the user's own, mode 0700, as pam_systemd(8) makes it; undefined where there is none like that. */
function runtimeDirectory({ uid, environment }: SessionUser): string | undefined {
  const named = environment['XDG_RUNTIME_DIR'];
  return [named, `/run/user/${uid}`].find((path) => path?.startsWith('/') === true && isClosed(path, uid));
}

/** SECURITY: promise 2. A directory, no link to one, of the user's, into which nobody else comes. */
function isClosed(path: string, uid: number): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats?.isDirectory() === true && stats.uid === uid && (stats.mode & 0o077) === 0;
}

/**
 * Without a runtime directory: one in /tmp with a name that nobody can guess before it is made, remembered by a link in the
 * user's own state. A name that could be guessed could be taken by another user first.
 */
function linkedRun(state: string, uid: number): string | undefined {
  try {
    const target = readlinkSync(`${state}/run`);
    return isClosed(target, uid) ? target : undefined;
  } catch (error) {
    if (['ENOENT', 'EINVAL', 'ENOTDIR'].includes(errorCode(error))) return undefined;
    throw error;
  }
}

function makeRun(state: string): string {
  const run = mkdtempSync('/tmp/qward-');
  const fresh = mkdtempSync(join(state, '.run-'));
  symlinkSync(run, `${fresh}/run`);
  renameSync(`${fresh}/run`, `${state}/run`);
  rmSync(fresh, { recursive: true });
  // Of two at once the later one counts for both.
  return readlinkSync(`${state}/run`);
}

function makeOwn(path: string, uid: number): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new NoSessionPlace(
      `${path} cannot be made (${errorCode(error)})`,
      `you must be able to write there`,
    );
  }
  if (isClosed(realpathSync(path), uid)) return;
  throw new NoSessionPlace(
    `${path} is not yours alone`,
    `it must be a directory of yours with mode 0700: ls -ld ${path}`,
  );
}
