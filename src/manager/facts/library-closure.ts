/** Which libraries a program or a module needs, asked of the dynamic loader itself (ld.so(8), `--list`). */
import { normalize } from 'node:path';
import type { SystemPath } from '../../protocol/launch.ts';
import { runProgram } from './run-program.ts';
import { resolveSystemPath, targetInJail, type DirectoryFindings } from './system-path.ts';

/** Path of the loader by the ABI of x86-64, as it stands in every program. */
export const loaderPath = '/lib64/ld-linux-x86-64.so.2';

const limits = { deadlineMs: 5000, maxBytes: 256 * 1024 } as const;

/** What the loader says: libraries by name with the path where it found each, and the names that it did not find. */
export interface LoaderList {
  readonly found: readonly { readonly name: string; readonly path: string }[];
  readonly missing: readonly string[];
}

/** Reads the output of `ld.so --list`. The kernel's vdso and the loader's own line name no library to look up. */
export function parseLoaderList(text: string): LoaderList {
  const found: { name: string; path: string }[] = [];
  const missing: string[] = [];
  for (const line of text.split('\n')) {
    const match = /^\t(\S+)(?: => (\S+|not found))?(?: \(0x[0-9a-f]+\))?$/.exec(line);
    const name = match?.[1];
    if (name === undefined) continue;
    const path = match?.[2] ?? name;
    if (path === 'not found') missing.push(name);
    else if (path.startsWith('/') && name !== loaderPath) found.push({ name, path: normalize(path) });
  }
  return { found, missing };
}

export type ClosureOutcome =
  | { readonly ok: true; readonly paths: readonly SystemPath[] }
  | { readonly ok: false; readonly why: string };

/** The libraries of `file`, each by its real path and at the path where the loader looks for it in the jail. */
export async function listLibraries(file: string, findings: DirectoryFindings): Promise<ClosureOutcome> {
  const libraries = await findLibraries(file);
  if (!libraries.ok) return libraries;
  const paths: SystemPath[] = [];
  for (const { target, path } of libraries.found) {
    const resolved = await resolveSystemPath(path, findings);
    if (!resolved.ok) return resolved;
    paths.push({ source: resolved.source, target });
  }
  return { ok: true, paths };
}

type Found =
  | { readonly ok: true; readonly found: readonly { readonly path: string; readonly target: string }[] }
  | { readonly ok: false; readonly why: string };

/**
 * The jail has no /etc/ld.so.cache, so the loader is asked without it. A library that is found only by the cache is
 * shown in the directory where the C library lies, where the loader looks anyway.
 */
async function findLibraries(file: string): Promise<Found> {
  const plain = await runLoader(['--inhibit-cache', '--list', file]);
  if (!plain.ok) return plain;
  const found = plain.list.found.map(({ path }) => ({ path, target: targetInJail(path) }));
  if (plain.list.missing.length === 0) return { ok: true, found };
  const cached = await runLoader(['--list', file]);
  if (!cached.ok) return cached;
  const libc = cached.list.found.find(({ name }) => name === 'libc.so.6');
  if (cached.list.missing.length > 0 || libc === undefined)
    return { ok: false, why: `${file} needs ${cached.list.missing.join(', ')}, not on this host` };
  const directory = targetInJail(libc.path).slice(0, -'/libc.so.6'.length);
  const targets = new Map(found.map(({ path, target }) => [path, target]));
  return {
    ok: true,
    found: cached.list.found.map(({ name, path }) => ({
      path,
      target: targets.get(path) ?? `${directory}/${name}`,
    })),
  };
}

async function runLoader(
  args: readonly string[],
): Promise<{ readonly ok: true; readonly list: LoaderList } | { readonly ok: false; readonly why: string }> {
  const output = await runProgram(loaderPath, args, limits);
  return output.ok ? { ok: true, list: parseLoaderList(output.stdout) } : output;
}
