/** Versions and ages of files of the system, by the database of Debian's packages where there is one (dpkg-query(1)). */
import { statSync } from 'node:fs';
import type { FileVersion } from '../../audit/exposure.ts';
import { runProgram } from './run-program.ts';

const dpkgQuery = '/usr/bin/dpkg-query';
const limits = { deadlineMs: 10_000, maxBytes: 64 * 1024 };

/** By path and time of change: a search takes some tenths of a second, and an upgrade writes the file anew. */
const versions = new Map<string, string | undefined>();
const mostVersions = 100;

/** Of those that are regular files. What a process says it runs is no more than a name: only files below /usr are asked for. */
export async function fileVersions(paths: readonly string[]): Promise<ReadonlyMap<string, FileVersion>> {
  const known = new Map<string, FileVersion>();
  for (const path of paths) {
    if (!/^\/usr\/[\w.+/-]+$/.test(path) || path.split('/').includes('..')) continue;
    const found = lookAt(path);
    if (found === undefined) continue;
    const version = await versionOf(path, found.mtimeMs);
    known.set(path, { made: found.mtime, ...(version === undefined ? {} : { version }) });
  }
  return known;
}

function lookAt(path: string): { readonly mtime: Date; readonly mtimeMs: number } | undefined {
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    return found?.isFile() === true ? found : undefined;
  } catch {
    return undefined;
  }
}

async function versionOf(path: string, changedMs: number): Promise<string | undefined> {
  const key = `${path}\n${changedMs}`;
  if (versions.has(key)) return versions.get(key);
  if (versions.size >= mostVersions) versions.clear();
  const owner = await runProgram(dpkgQuery, ['--search', path], limits);
  const name = owner.ok ? /^([a-z0-9][a-z0-9.+:-]*): /m.exec(owner.stdout)?.[1] : undefined;
  const shown =
    name === undefined
      ? undefined
      : await runProgram(dpkgQuery, ['--show', '--showformat=${Package} ${Version}', name], limits);
  const version = shown?.ok === true && shown.stdout !== '' ? shown.stdout : undefined;
  versions.set(key, version);
  return version;
}
