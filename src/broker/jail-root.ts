/**
 * The jail's root: a tree of read-only binds of just what QEMU needs, made once for each set of files and used by every
 * machine with the same QEMU. Each jail gets a copy of these mounts in its own namespace (the OCI runtime binds its root
 * recursively), so that a launch need not make some sixty of them anew: docs/decisions/0021-shared-jail-root.md.
 *
 * The trees lie on a tmpfs whose mounts reach no other namespace. All of it goes when the broker ends, or with the
 * next one where it was killed; running jails keep their copies.
 */
import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, rmdirSync, symlinkSync, writeFileSync, type Stats } from 'node:fs';
import { dirname } from 'node:path';
import prober from '../../resources/drill/prober.json' with { type: 'json' };
import { openSystemPath } from '../linux/descriptors.ts';
import { attachMount, bindReadOnly, makePrivate, mountTmpfs, unmount } from '../linux/mount.ts';
import type { Refusal } from '../protocol/broker.ts';
import { drillProgram, type JailedProgram, type SystemPath } from '../protocol/launch.ts';
import type { ShownMount } from './open-shown.ts';
import { errorCode } from '../linux/errno.ts';

export interface JailRoots {
  /** Looks at each source anew and gives the tree that shows them; for drill and passt one of their own, with what they need in it. */
  readonly open: (root: readonly SystemPath[], program?: JailedProgram) => TreeOutcome;
  /** A tree for one launch, which shows these mounts as well; the caller removes it once the runtime has copied it. */
  readonly openOwn: (machine: string, root: readonly SystemPath[], own: OwnTree) => TreeOutcome;
  readonly remove: (directory: string) => void;
  /** Removes every tree. */
  readonly close: () => void;
}

interface OwnTree {
  readonly program: JailedProgram;
  readonly shown: readonly ShownMount[];
}

/** More sets than a host has QEMU versions and hooks: a manager that asks for ever new ones does not fill the mount table. */
const maxTrees = 16;

type TreeOutcome =
  | { readonly ok: true; readonly directory: string }
  | { readonly ok: false; readonly refusals: readonly Refusal[] };

interface Source {
  readonly fd: number;
  readonly kind: 'file' | 'directory';
  /** Changes when a package is upgraded. */
  readonly identity: string;
}

/** `parent` is a directory of root's, empty or left by a broker before this one. */
export function openJailRoots(parent: string): JailRoots {
  close(parent);
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  mountTmpfs(parent, 'size=1m,mode=0700');
  makePrivate(parent);
  const trees = new Map<string, string>();
  return {
    open: (root, program = 'qemu') =>
      withSources(root, (sources) => treeOf(parent, { root, program, sources, trees })),
    openOwn: (machine, root, own) => openOwn(`${parent}/of-${machine}`, root, own),
    remove,
    close: () => close(parent),
  };
}

function openOwn(tree: string, root: readonly SystemPath[], { program, shown }: OwnTree): TreeOutcome {
  return withSources(root, (sources) => {
    build(tree, { root, program, sources });
    try {
      for (const { target, directory } of shown) makePoint(`${tree}${target}`, directory);
      for (const { mount, target } of shown) attachMount(mount, `${tree}${target}`);
    } catch (error) {
      remove(tree);
      throw error;
    }
    return tree;
  });
}

/** What is mounted on a mount goes with it, in one step. */
function close(parent: string): void {
  while (unmount(parent)) {
    // One that was killed while it began can have left two.
  }
}

function withSources(root: readonly SystemPath[], make: (sources: readonly Source[]) => string): TreeOutcome {
  const opened = openSources(root);
  if (!opened.ok) return opened;
  try {
    return { ok: true, directory: make(opened.sources) };
  } finally {
    closeSources(opened.sources);
  }
}

/** Each source, looked at; the caller closes them. */
export function openSources(
  root: readonly SystemPath[],
):
  | { readonly ok: true; readonly sources: readonly Source[] }
  | { readonly ok: false; readonly refusals: readonly Refusal[] } {
  const sources: Source[] = [];
  const refusals: Refusal[] = [];
  for (const { source } of root) {
    const opened = openSource(source);
    if ('fd' in opened) sources.push(opened);
    else refusals.push(opened);
  }
  if (refusals.length === 0) return { ok: true, sources };
  closeSources(sources);
  return { ok: false, refusals };
}

export function closeSources(sources: readonly Source[]): void {
  for (const { fd } of sources) closeSync(fd);
}

/** SECURITY: promise 2. Only what root owns, nobody else can write and anybody may read is shown in a jail, and no link to it. */
function openSource(path: string): Source | Refusal {
  const refused = (why: string): Refusal => ({
    code: 'broker-refused',
    message: `"${path}" cannot be shown in a jail: ${why}`,
    hint: 'reinstall the package that the file belongs to',
  });
  try {
    const { fd, stats } = openSystemPath(path);
    const why = faultOf(stats);
    if (why === undefined) {
      const kind = stats.isFile() ? 'file' : 'directory';
      return { fd, kind, identity: `${stats.dev}:${stats.ino}:${stats.ctimeMs}` };
    }
    closeSync(fd);
    return refused(why);
  } catch (error) {
    return refused(errorCode(error) || 'cannot be opened');
  }
}

function faultOf(stats: Stats): string | undefined {
  if (stats.uid !== 0 || (stats.mode & 0o022) !== 0) return 'others than root can write it';
  if ((stats.mode & 0o004) === 0) return 'not everybody may read it';
  if (stats.isFile() || stats.isDirectory()) return undefined;
  return 'neither a file nor a directory';
}

interface Wanted {
  readonly root: readonly SystemPath[];
  readonly program: JailedProgram;
  readonly sources: readonly Source[];
  readonly trees: Map<string, string>;
}

function treeOf(parent: string, { root, program, sources, trees }: Wanted): string {
  // SECURITY: promise 2. No QEMU's tree ever holds the prober.
  const special = program === 'drill' || program === 'passt' ? program : '';
  const key = JSON.stringify([special, root.map(({ target }, index) => [target, sources[index]?.identity])]);
  const known = trees.get(key);
  if (known !== undefined) {
    // The first to go is what was not asked for longest: no launch under way still needs it.
    trees.delete(key);
    trees.set(key, known);
    return known;
  }
  for (const [other, tree] of trees) {
    if (trees.size < maxTrees) break;
    remove(tree);
    trees.delete(other);
  }
  const tree = `${parent}/${createHash('sha256').update(key).digest('hex').slice(0, 32)}`;
  build(tree, { root, program, sources });
  trees.set(key, tree);
  return tree;
}

function remove(tree: string): void {
  unmount(tree);
  rmdirSync(tree);
}

/** A tree that could not be finished is removed. */
function build(tree: string, { root, program, sources }: Omit<Wanted, 'trees'>): void {
  mkdirSync(tree, { mode: 0o755 });
  mountTmpfs(tree, 'size=1m,mode=0755');
  try {
    for (const name of ['proc', 'dev', 'usr/lib', 'usr/lib64'])
      mkdirSync(`${tree}/${name}`, { recursive: true, mode: 0o755 });
    // QEMU's tree has no programs beside it, and so no links to any.
    const programs = root.some(({ target }) => target === '/usr') ? ['bin', 'sbin'] : [];
    for (const name of ['lib', 'lib64', ...programs]) symlinkSync(`usr/${name}`, `${tree}/${name}`);
    // Where passt mounts the empty file system that becomes its root.
    if (program === 'passt') mkdirSync(`${tree}/tmp`, { mode: 0o755 });
    if (program === 'drill') showProber(`${tree}${drillProgram}`);
    // SECURITY: promise 1. What lies within a directory before it: no mount point is looked up in what is bound there, where
    // a link leads to any place of the host. Policy refuses nested targets; this holds without it.
    const order = root
      .map(({ target }, index) => ({ target, source: sources[index] }))
      .sort((left, right) => (left.target < right.target ? 1 : -1));
    for (const { target, source } of order) if (source !== undefined) show(source, `${tree}${target}`);
  } catch (error) {
    remove(tree);
    throw error;
  }
}

function show({ fd, kind }: Source, target: string): void {
  makePoint(target, kind === 'directory');
  bindReadOnly(fd, target);
}

function makePoint(target: string, directory: boolean): void {
  mkdirSync(directory ? target : dirname(target), { recursive: true, mode: 0o755 });
  if (!directory) closeSync(openSync(target, 'a', 0o644));
}

/** Before anything is bound: it is written into the tree's own tmpfs, and bound on itself, since nothing runs from there. */
function showProber(target: string): void {
  mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
  writeFileSync(target, Buffer.from(prober.elf, 'base64'), { mode: 0o755, flag: 'wx' });
  const fd = openSync(target, 'r');
  bindReadOnly(fd, target);
  closeSync(fd);
}
