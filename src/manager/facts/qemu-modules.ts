/** QEMU's loadable modules: accelerators, displays and devices that distributions build apart from the binary. */
import { readdir } from 'node:fs/promises';
import { dirname, normalize } from 'node:path';
import type { SystemPath } from '../../protocol/launch.ts';
import { listLibraries } from './library-closure.ts';
import { resolveSystemPath, type DirectoryFindings } from './system-path.ts';

/** Modules that QEMU opens together with another (its own table is compiled in; seen by strace with QEMU 7.2). */
const alsoLoaded: Readonly<Record<string, readonly string[]>> = {
  'hw-display-virtio-gpu-pci': ['hw-display-virtio-gpu'],
  'hw-display-virtio-vga': ['hw-display-virtio-gpu'],
  'hw-display-qxl': ['ui-opengl', 'ui-spice-core'],
};

/** Where distributions for x86-64 keep them, seen from the binary's directory. */
const places = ['../lib/x86_64-linux-gnu/qemu', '../lib64/qemu', '../lib/qemu'] as const;

export interface QemuModules {
  /** Null: this QEMU is built without modules. */
  readonly directory: string | null;
  readonly modules: Readonly<Record<string, readonly SystemPath[]>>;
}

/** How many loaders run at once. */
const parallel = 4;

/**
 * Every module that can be loaded on this host, with what it adds to the closure. One that lacks a library, or that
 * others than root can change, is left out: a machine that needs it is refused, any other starts.
 */
export async function listModules(
  binary: string,
  closure: readonly SystemPath[],
  findings: DirectoryFindings,
): Promise<QemuModules> {
  const { directory, names } = await findDirectory(dirname(binary));
  if (directory === null) return { directory, modules: {} };
  const known = new Set(closure.map(({ target }) => target));
  const own = new Map<string, readonly SystemPath[]>();
  const queue = [...names];
  const work = async (): Promise<void> => {
    for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
      const paths = await modulePaths(`${directory}/${name}.so`, findings);
      if (paths !== undefined)
        own.set(
          name,
          paths.filter(({ target }) => !known.has(target)),
        );
    }
  };
  await Promise.all(Array.from({ length: parallel }, work));
  return { directory, modules: withCompanions(own) };
}

async function findDirectory(
  binaryDirectory: string,
): Promise<{ readonly directory: string | null; readonly names: readonly string[] }> {
  for (const place of places) {
    const directory = normalize(`${binaryDirectory}/${place}`);
    const files = await readdir(directory).catch(() => []);
    const names = files.filter((file) => file.endsWith('.so')).map((file) => file.slice(0, -3));
    if (names.length > 0) return { directory, names: names.sort() };
  }
  return { directory: null, names: [] };
}

async function modulePaths(file: string, findings: DirectoryFindings): Promise<SystemPath[] | undefined> {
  const resolved = await resolveSystemPath(file, findings);
  const libraries = await listLibraries(file, findings);
  if (!resolved.ok || !libraries.ok) return undefined;
  return [{ source: resolved.source, target: file }, ...libraries.paths];
}

/** A module whose companion cannot be shown cannot be loaded either. */
function withCompanions(own: ReadonlyMap<string, readonly SystemPath[]>): Record<string, SystemPath[]> {
  const modules: Record<string, SystemPath[]> = {};
  for (const name of [...own.keys()].sort()) {
    const parts = [name, ...(alsoLoaded[name] ?? [])].map((part) => own.get(part));
    if (parts.some((part) => part === undefined)) continue;
    modules[name] = uniqueByTarget(parts.flatMap((part) => part ?? []));
  }
  return modules;
}

/** Each target once, in the order of the targets. */
export function uniqueByTarget(paths: readonly SystemPath[]): SystemPath[] {
  const byTarget = new Map(paths.map((path) => [path.target, path]));
  return [...byTarget.values()].sort((one, other) => (one.target < other.target ? -1 : 1));
}
