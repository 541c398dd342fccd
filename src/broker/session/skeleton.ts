/**
 * The jail's root without root: empty files and directories in the machine's bundle, on which the runtime itself binds the paths
 * of the system, read-only, in the machine's own user and mount namespace. Mounts that several jails share (jail-root.ts) are
 * root's alone to make.
 */
import { mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import prober from '../../../resources/drill/prober.json' with { type: 'json' };
import { drillProgram, type LaunchRequest } from '../../protocol/launch.ts';
import type { BrokerContext } from '../context.ts';
import { closeSources, openSources } from '../jail-root.ts';
import type { JailRootOutcome } from '../means.ts';
import { placesOf } from '../places.ts';

/** Where a jail's root stands: by this very directory its processes are known. */
export const skeletonOf = (context: BrokerContext, machine: string): string =>
  `${placesOf(context, machine).bundle}/root`;

export function openSkeleton(
  context: BrokerContext,
  { machine, root, program, shown = [] }: Pick<LaunchRequest, 'machine' | 'root' | 'program' | 'shown'>,
): JailRootOutcome {
  const opened = openSources(root);
  if (!opened.ok) return opened;
  try {
    const tree = skeletonOf(context, machine);
    // Of a machine that runs nothing is here: its bundle was swept.
    rmSync(tree, { recursive: true, force: true });
    for (const name of ['proc', 'dev', 'usr/lib', 'usr/lib64'])
      mkdirSync(`${tree}/${name}`, { recursive: true, mode: 0o755 });
    const programs = root.some(({ target }) => target === '/usr') ? ['bin', 'sbin'] : [];
    for (const name of ['lib', 'lib64', ...programs]) symlinkSync(`usr/${name}`, `${tree}/${name}`);
    // Where passt mounts the empty file system that becomes its root.
    if (program === 'passt') mkdirSync(`${tree}/tmp`, { mode: 0o755 });
    if (program === 'drill') place(`${tree}${drillProgram}`, Buffer.from(prober.elf, 'base64'));
    for (const [index, { target }] of root.entries())
      if (opened.sources[index]?.kind === 'directory') mkdirSync(`${tree}${target}`, { recursive: true });
      else place(`${tree}${target}`, '');
    const mounts = root.map(({ source, target }) => ({
      destination: target,
      type: 'none',
      source,
      options: ['bind', 'ro', 'nosuid', 'nodev'],
    }));
    for (const { path } of shown)
      if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true)
        mkdirSync(`${tree}${path}`, { recursive: true });
      else place(`${tree}${path}`, '');
    const own = shown.map(({ path, access }) => ({
      destination: path,
      type: 'none',
      source: path,
      options: ['rbind', access, 'nosuid', 'nodev', 'noexec', 'rslave'],
    }));
    return { ok: true, directory: tree, mounts: [...mounts, ...own] };
  } finally {
    closeSources(opened.sources);
  }
}

function place(path: string, content: Buffer | string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  writeFileSync(path, content, { mode: 0o755, flag: 'wx' });
}
