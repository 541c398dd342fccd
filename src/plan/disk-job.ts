/**
 * One run of qemu-img as data: its arguments, its files and its limits. Pure. Files are descriptors, which qemu-img opens
 * again at /proc/self/fd/N; formats and chains are always said, whatever an image says of itself.
 */
import { firstDescriptor, type Access, type Descriptor, type LaunchRequest } from '../protocol/launch.ts';
import { UnsafeTokenError } from './options.ts';

/** Formats that images are written in. */
export const diskFormats = ['raw', 'qcow2'] as const;
export type DiskFormat = (typeof diskFormats)[number];
/** Formats that images are imported from. */
export const importFormats = ['raw', 'qcow2', 'vmdk', 'vdi', 'vhdx', 'vpc', 'qed'] as const;
export type ImportFormat = (typeof importFormats)[number];

export interface JobFile {
  readonly path: string;
  readonly format: ImportFormat;
  /** As in `Descriptor`. */
  readonly claimant: number | null;
}
/** An image with what lies below it, the nearest first. */
export interface JobImage extends JobFile {
  readonly backing: readonly JobFile[];
}
/** What is made. */
export interface JobTarget {
  readonly path: string;
  readonly format: DiskFormat;
  readonly claimant: number | null;
}

export type Preallocation = 'off' | 'metadata' | 'falloc' | 'full';
export type SnapshotAction = 'create' | 'revert' | 'rm';

/** One run. */
export type DiskStep =
  | { readonly do: 'info'; readonly image: JobFile; readonly shared: boolean }
  | {
      readonly do: 'create';
      readonly target: JobTarget;
      readonly size: number;
      readonly preallocation: Preallocation;
      /** Name and format written into the header; the file is not opened. */
      readonly backing: { readonly path: string; readonly format: DiskFormat } | null;
    }
  | {
      readonly do: 'convert';
      readonly image: JobImage;
      readonly target: JobTarget;
      readonly compress: boolean;
      /** Bytes a second; null: as fast as it goes. */
      readonly rate: number | null;
    }
  | {
      readonly do: 'resize';
      readonly image: JobImage;
      readonly size: number;
      readonly shrink: boolean;
      readonly preallocation: Preallocation;
    }
  | { readonly do: 'check'; readonly image: JobFile; readonly repair: 'leaks' | 'all' | null }
  | { readonly do: 'commit'; readonly image: JobImage }
  /** Copies what differs between the old chain and the new one. The header then has to be given its name by `rename-backing`. */
  | { readonly do: 'rebase'; readonly image: JobImage; readonly onto: readonly JobFile[] }
  | {
      readonly do: 'rename-backing';
      readonly image: JobFile;
      readonly backing: { readonly path: string; readonly format: DiskFormat } | null;
    }
  | {
      readonly do: 'snapshot';
      readonly image: JobFile;
      readonly action: SnapshotAction;
      readonly snapshot: string;
    };

export interface JobTool {
  readonly binary: string;
  /** Program, libraries and loader. */
  readonly closure: readonly { readonly source: string; readonly target: string }[];
}

export interface JobSite {
  /** Name of the job. */
  readonly machine: string;
  readonly tool: JobTool;
  /** The largest virtual size among the images, bytes. */
  readonly virtualSize: number;
}

/** Names of snapshots: what is shown and typed without quotes; qcow2's own limit is 255 bytes. */
export const snapshotPattern = /^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,127}$/;

/** The descriptors of one run: each file once, writable where any use of it is. */
class JobFiles {
  readonly #files: { path: string; access: Access; claimant: number | null }[] = [];

  /** The path at which qemu-img opens it again. */
  add(path: string, claimant: number | null, access: Access): string {
    const known = this.#files.findIndex((file) => file.path === path);
    const file = this.#files[known];
    if (file === undefined)
      return `/proc/self/fd/${firstDescriptor - 1 + this.#files.push({ path, access, claimant })}`;
    if (access === 'rw') file.access = 'rw';
    return `/proc/self/fd/${firstDescriptor + known}`;
  }

  descriptors(): Descriptor[] {
    return this.#files.map((file) => ({ kind: 'file', ...file, reopened: true }));
  }
}

interface Node {
  readonly driver: ImportFormat;
  readonly file: { readonly driver: 'file'; readonly filename: string; readonly locking: 'on' };
  readonly backing: Node | null;
}

/** SECURITY: rule images. Driver and chain of each node are given; `backing: null` ends the chain whatever the header names. */
function nodeOf(
  files: JobFiles,
  [image, ...below]: readonly JobFile[],
  accesses: readonly Access[],
): Node | null {
  if (image === undefined) return null;
  const [access = 'ro', ...others] = accesses;
  return {
    driver: image.format,
    file: { driver: 'file', filename: files.add(image.path, image.claimant, access), locking: 'on' },
    backing: nodeOf(files, below, others),
  };
}

/** Paths in it are all /proc/self/fd/N: nothing of a user's stands in it. */
const jsonName = (node: Node | null): string => `json:${JSON.stringify(node)}`;

/** A path that is written into a header. An absolute one is never taken for a protocol's name, such as `nbd:`. */
function headerName(path: string): string {
  // SECURITY: rule images. qemu-img takes what begins with "json:" or "nbd:" for more than a name.
  if (!path.startsWith('/') || /[\u0000-\u001f\u007f]/.test(path)) throw new UnsafeTokenError('-b', path);
  return path;
}

interface Command {
  readonly argv: readonly string[];
  readonly files: JobFiles;
  /** Bytes that the largest file may come to beside the margin. */
  readonly fileSize: number;
  readonly layers: number;
}

function compileStep(step: DiskStep, virtualSize: number): Command {
  const files = new JobFiles();
  const command = (argv: readonly string[], fileSize: number, layers = 1): Command => ({
    argv,
    files,
    fileSize,
    layers,
  });
  const top = (image: JobFile, access: Access): string => jsonName(nodeOf(files, [image], [access]));
  switch (step.do) {
    case 'info': {
      const shared = step.shared ? ['--force-share'] : [];
      return command(['info', '--output=json', ...shared, top(step.image, 'ro')], 0);
    }
    case 'create': {
      const { target, size, preallocation, backing } = step;
      const below = backing === null ? [] : ['-u', '-b', headerName(backing.path), '-F', backing.format];
      const options = ['-o', `extent_size_hint=0,preallocation=${preallocation}`];
      const file = files.add(target.path, target.claimant, 'rw');
      return command(['create', '-f', target.format, ...options, ...below, file, String(size)], size);
    }
    case 'convert': {
      const { image, target, compress, rate } = step;
      const chain = [image, ...image.backing];
      const source = jsonName(nodeOf(files, chain, []));
      const file = files.add(target.path, target.claimant, 'rw');
      const flags = [...(compress ? ['-c'] : []), ...(rate === null ? [] : ['-r', String(rate)])];
      // Written through to the disk at the end: without -t, a converted image is lost with the host's power.
      const output = ['-t', 'writeback', '-O', target.format, '-o', 'extent_size_hint=0'];
      return command(['convert', '-p', ...flags, ...output, source, file], virtualSize, chain.length + 1);
    }
    case 'resize': {
      const { image, size, shrink, preallocation } = step;
      const chain = [image, ...image.backing];
      const flags = [...(shrink ? ['--shrink'] : []), `--preallocation=${preallocation}`];
      return command(
        ['resize', ...flags, jsonName(nodeOf(files, chain, ['rw'])), String(size)],
        size,
        chain.length,
      );
    }
    case 'check': {
      const repair = step.repair === null ? [] : ['-r', step.repair];
      const access = step.repair === null ? 'ro' : 'rw';
      return command(['check', '--output=json', ...repair, top(step.image, access)], virtualSize);
    }
    case 'commit': {
      const chain = [step.image, ...step.image.backing];
      return command(
        ['commit', '-p', jsonName(nodeOf(files, chain, ['rw', 'rw']))],
        virtualSize,
        chain.length,
      );
    }
    case 'rebase': {
      const { image, onto } = step;
      const old = jsonName(nodeOf(files, [image, ...image.backing], ['rw']));
      const below = nodeOf(files, onto, []);
      const backing = below === null ? ['-b', ''] : ['-b', jsonName(below), '-F', below.driver];
      return command(['rebase', '-p', ...backing, old], virtualSize, image.backing.length + onto.length + 1);
    }
    case 'rename-backing': {
      const { backing } = step;
      const name = backing === null ? ['-b', ''] : ['-b', headerName(backing.path), '-F', backing.format];
      return command(['rebase', '-u', ...name, top(step.image, 'rw')], virtualSize);
    }
    case 'snapshot': {
      if (!snapshotPattern.test(step.snapshot)) throw new UnsafeTokenError('snapshot', step.snapshot);
      const flag = { create: '-c', revert: '-a', rm: '-d' }[step.action];
      return command(['snapshot', flag, step.snapshot, top(step.image, 'rw')], virtualSize);
    }
  }
}

const mib = 1024 ** 2;
/** Metadata of qcow2 is at most a tenth of what it describes; beside it, tables of small images. */
const fileMargin = 64 * mib;
/** Program and buffers take 60 MiB; the rest is room for what a file system in memory charges, which is where tests write. */
const baseMemory = 512 * mib;
/** The table cache of a layer: 32 MiB at most (qcow2). */
const layerMemory = 40 * mib;
/** A check counts each cluster in memory: 2 bytes for each 64 KiB, and the same again while the table grows. */
const tableShare = 16_384;
const mostTables = 2048 * mib;

/** The launch of one step. Throws UnsafeTokenError for what its caller should have refused. */
export function planDiskStep(step: DiskStep, site: JobSite): LaunchRequest {
  const { argv, files, fileSize, layers } = compileStep(step, site.virtualSize);
  const tables = Math.min(mostTables, Math.ceil(site.virtualSize / tableShare));
  return {
    machine: site.machine,
    program: 'qemu-img',
    binary: site.tool.binary,
    argv,
    env: { LANG: 'C' },
    descriptors: files.descriptors(),
    devices: [],
    root: site.tool.closure,
    limits: {
      memory: baseMemory + layers * layerMemory + tables,
      // Main, RCU, and the pool of 64 threads that carries file I/O.
      pids: 80,
      // Half a machine's share: a guest that works goes first.
      cpuWeight: 50,
      cpuQuota: 200_000,
      ioWeight: 50,
      openFiles: 256,
      fileSize: Math.min(Number.MAX_SAFE_INTEGER, Math.ceil(fileSize * 1.1) + fileMargin),
    },
  };
}
