/**
 * What is under way with the images of a disk of a running machine. Noted with the run before QEMU hears of it: a manager that
 * dies is followed by one that knows what QEMU may have open, and finishes or undoes it.
 */
import { blockDoings, type BlockDoing } from '../../api/block-contract.ts';
import type { DiskImages } from '../../definition/set-images.ts';
import type { FormatNode } from '../../qmp/block-commands.ts';
import type { FreshSet } from './fresh-layers.ts';
import { parseAttached, type Attached } from '../hotplug/hotplug.ts';
import { parseHeldFile, type HeldFile } from '../lifecycle/held-files.ts';

/** One disk, as it is after it, and what stands in the definition before and after. */
export interface DiskChange {
  readonly after: Attached;
  readonly definition: { readonly from: DiskImages; readonly to: DiskImages };
}

/** Disks are about to get other images, which at that moment hold the same. */
export interface Swap {
  readonly changes: readonly DiskChange[];
  /** By this node it is seen whether it was done: the disk uses it afterwards, or uses it before. */
  readonly sign: { readonly node: string; readonly usedBy: 'before' | 'after' };
  /** Nodes of which nothing uses any after it. */
  readonly left: readonly string[];
  readonly leftFiles: readonly HeldFile[];
  /** The guest stood still before, and is to stand on. */
  readonly paused: boolean;
}

export interface BlockWork {
  readonly disk: string;
  readonly doing: BlockDoing;
  /** Nodes that go when it ends, each behind those that it stands on. */
  readonly nodes: readonly string[];
  /** What is open beside what the machine's disks have. */
  readonly files: readonly HeldFile[];
  /** Sets from which QEMU opens images anew as its job ends; none where it does not. */
  readonly reopened?: readonly FreshSet[];
  /** The image that a commit writes into: where it is given up, it is one to be read again. */
  readonly base?: FormatNode;
  /** The file systems of the guest are at rest, and are to go on when it ends. */
  readonly frozen: boolean;
  /** Once it has come so far. */
  readonly swap: Swap | null;
}

export const texts = (value: unknown): readonly string[] =>
  Array.isArray(value) ? value.filter((one) => typeof one === 'string') : [];
const heldFiles = (value: unknown): readonly HeldFile[] =>
  (Array.isArray(value) ? (value as readonly unknown[]) : []).flatMap((one) => parseHeldFile(one) ?? []);

export function parseBlockWork(value: unknown): BlockWork | undefined {
  const field = (name: string): unknown => Reflect.get(Object(value), name);
  const [disk, doing] = [field('disk'), blockDoings.find((one) => one === field('doing'))];
  if (typeof disk !== 'string' || doing === undefined) return undefined;
  return {
    disk,
    doing,
    nodes: texts(field('nodes')),
    files: heldFiles(field('files')),
    reopened: parseSets(field('reopened')),
    ...parseBase(field('base')),
    frozen: field('frozen') === true,
    swap: parseSwap(field('swap')),
  };
}

function parseSets(value: unknown): readonly FreshSet[] {
  return (Array.isArray(value) ? (value as readonly unknown[]) : []).flatMap((one) => {
    const set: unknown = Reflect.get(Object(one), 'set');
    return typeof set === 'number' ? [{ set, files: heldFiles(Reflect.get(Object(one), 'files')) }] : [];
  });
}

function parseBase(value: unknown): Pick<BlockWork, 'base'> {
  const field = (name: string, of = value): unknown => Reflect.get(Object(of), name);
  const [node, file, backing, format] = [field('node'), field('file'), field('backing'), field('format')];
  if (typeof node !== 'string' || typeof file !== 'string') return {};
  if ((backing !== null && typeof backing !== 'string') || (format !== 'raw' && format !== 'qcow2'))
    return {};
  const cache = {
    direct: field('direct', field('cache')) === true,
    'no-flush': field('no-flush', field('cache')) === true,
  };
  const discard = field('discard') === 'unmap' ? 'unmap' : 'ignore';
  return { base: { node, file, backing, format, cache, discard } };
}

function parseSwap(value: unknown): Swap | null {
  const field = (name: string): unknown => Reflect.get(Object(value), name);
  const [changes, sign, paused] = [field('changes'), field('sign'), field('paused')];
  const [node, usedBy]: unknown[] = ['node', 'usedBy'].map((name) => Reflect.get(Object(sign), name));
  if (!Array.isArray(changes) || typeof node !== 'string' || typeof paused !== 'boolean') return null;
  return {
    changes: (changes as readonly unknown[]).flatMap((one) => parseChange(one) ?? []),
    sign: { node, usedBy: usedBy === 'before' ? 'before' : 'after' },
    paused,
    left: texts(field('left')),
    leftFiles: heldFiles(field('leftFiles')),
  };
}

function parseChange(value: unknown): DiskChange | undefined {
  const field = (name: string): unknown => Reflect.get(Object(value), name);
  const after = parseAttached(field('after'));
  const [from, to] = ['from', 'to'].map((name) =>
    parseImages(Reflect.get(Object(field('definition')), name)),
  );
  return after === undefined || from === undefined || to === undefined
    ? undefined
    : { after, definition: { from, to } };
}

export function parseImages(value: unknown): DiskImages | undefined {
  const image = (one: unknown): { path: string; format: 'raw' | 'qcow2' } | undefined => {
    const [path, format]: unknown[] = [Reflect.get(Object(one), 'path'), Reflect.get(Object(one), 'format')];
    return typeof path === 'string' && (format === 'raw' || format === 'qcow2')
      ? { path, format }
      : undefined;
  };
  const [top, backing] = [image(value), Reflect.get(Object(value), 'backing') as unknown];
  if (top === undefined || !Array.isArray(backing)) return undefined;
  return { ...top, backing: (backing as readonly unknown[]).flatMap((one) => image(one) ?? []) };
}
