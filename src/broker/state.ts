/**
 * The broker's own state files: `{"version": 2, KEY: content}`. In version 1 the content stood alone. What is spoilt, or was
 * written by a newer qward, is not used and not written over: its own work is refused, all else goes on.
 */
import { existsSync } from 'node:fs';
import { isObject } from '../protocol/values.ts';
import { readJson, writeWhole } from './files.ts';

export const stateVersion = 2;
/** Above it a number is no version but a uid: in version 1 of slots.json a machine may be called "version". */
const maxVersion = 999;

/** A state file that is not used. It stays as it is. */
export class UnusableState extends Error {
  readonly damage: { readonly path: string; readonly reason: string; readonly cure: string };
  readonly newer: boolean;
  constructor(path: string, found: number, cure: string) {
    const newer = found > stateVersion;
    const reason = newer ? newerThan(found, stateVersion) : 'cannot be read';
    super(`${path} ${reason}`);
    const first = newer ? 'install that qward again, or ' : '';
    this.damage = { path, reason, cure: `${first}root removes it (rm ${path}); ${cure}` };
    this.newer = newer;
  }
}

/** What a file of a newer qward is told to be. */
export function newerThan(found: number, known: number): string {
  const versions = known === 1 ? 'version 1' : `versions 1 to ${known}`;
  return `is of version ${found}, and this qward knows ${versions}: a newer one wrote it`;
}

/** The version that a file says it has: 1 where it says nothing. */
export function versionOf(value: unknown): number {
  const version = isObject(value) ? value['version'] : undefined;
  return typeof version === 'number' && version <= maxVersion ? version : 1;
}

export interface StateForm<Content> {
  readonly key: string;
  /** Of a content of any version; undefined: spoilt. */
  readonly parse: (content: unknown) => Content | undefined;
  /** What to do once the file was removed. */
  readonly cure: string;
}

export interface StateFile<Content> {
  /** Undefined where there is none. */
  readonly look: () => Content | UnusableState | undefined;
  /** The same; throws UnusableState. */
  readonly read: () => Content | undefined;
  /** Why it is not used; undefined where it is, or is not there. */
  readonly fault: () => UnusableState | undefined;
  readonly write: (content: Content) => void;
}

export function openState<Content extends object>(
  path: string,
  { key, parse, cure }: StateForm<Content>,
): StateFile<Content> {
  const look = (): Content | UnusableState | undefined => {
    const value = readJson(path);
    if (value === undefined && !existsSync(path)) return undefined;
    const version = versionOf(value);
    // SECURITY: promise 7. One part that is not whole tells that the file was spoilt: none of it is believed.
    const content =
      version > stateVersion
        ? undefined
        : parse(version === stateVersion && isObject(value) ? value[key] : value);
    return content ?? new UnusableState(path, version, cure);
  };
  return {
    look,
    read: () => {
      const found = look();
      if (found instanceof UnusableState) throw found;
      return found;
    },
    fault: () => {
      const found = look();
      return found instanceof UnusableState ? found : undefined;
    },
    write: (content) =>
      writeWhole(path, `${JSON.stringify({ version: stateVersion, [key]: content })}\n`, true),
  };
}

export interface RegisterFile<Content> {
  readonly look: () => Content;
  /** Gives whether it is another now. Throws UnusableState. */
  readonly change: (work: (content: Content) => Content) => boolean;
  readonly fault: () => UnusableState | undefined;
  /** Throws where nothing can be changed. */
  readonly check: () => void;
}

/** A file that is not used counts as `nothing`, and is kept as it is until root removes it. */
export function openRegisterFile<Content extends object>(
  path: string,
  form: StateForm<Content>,
  nothing: Content,
): RegisterFile<Content> {
  const { look, read, fault, write } = openState<Content>(path, form);
  return {
    look: () => {
      const found = look();
      return found === undefined || found instanceof UnusableState ? nothing : found;
    },
    change: (work) => {
      const before = read() ?? nothing;
      const after = work(before);
      const changed = JSON.stringify(after) !== JSON.stringify(before);
      if (changed) write(after);
      return changed;
    },
    fault,
    check: () => void read(),
  };
}

/** What was one machine's is another's, and what that had is gone. */
export const renamed = <Entry extends { readonly machine: string }>(
  entries: readonly Entry[],
  machine: string,
  to: string,
): readonly Entry[] =>
  entries
    .filter((entry) => entry.machine !== to)
    .map((entry) => (entry.machine === machine ? { ...entry, machine: to } : entry));
