/** Opens what a launch names, in its order. All of it or nothing: on a refusal everything that was opened is closed. */
import { closeSync, constants, fstatSync, openSync, type Stats } from 'node:fs';
import { openRegularBeneath, sealedCopy } from '../linux/descriptors.ts';
import { openTap } from '../linux/tap.ts';
import { bindUnixSocket } from '../linux/unix-socket.ts';
import { rootOf, type StorageRoot } from '../policy/admit.ts';
import type { LaunchedMachine, Refusal } from '../protocol/broker.ts';
import type { Access, Descriptor, LaunchRequest, SocketName } from '../protocol/launch.ts';
import { errorCode } from './files.ts';

/** The descriptors that will be 3, 4, … in QEMU. The caller closes them. */
export interface Opened {
  readonly fds: readonly number[];
  /** What each path was when it was opened. */
  readonly files: LaunchedMachine['files'];
}

/** Of all copies of one launch together: they are host memory that no limit of the machine counts. */
const maxCopyBytes = 512 * 1024 * 1024;

/** SECURITY: promise 1. What a launch may still copy: 250 sparse files would otherwise be 125 GiB of memory. */
interface CopyBudget {
  left: number;
}

export function socketPath(directory: string, name: SocketName): string {
  return `${directory}/${name}.sock`;
}

export function socketPaths(launch: LaunchRequest, directory: string): Partial<Record<SocketName, string>> {
  const names = launch.descriptors.flatMap((descriptor) =>
    descriptor.kind === 'socket' ? [descriptor.name] : [],
  );
  return Object.fromEntries(names.map((name) => [name, socketPath(directory, name)]));
}

type OpenOutcome =
  | ({ readonly ok: true } & Opened)
  | { readonly ok: false; readonly refusals: readonly Refusal[] };

export function openDescriptors(
  descriptors: readonly Descriptor[],
  directory: string,
  roots: readonly StorageRoot[],
): OpenOutcome {
  const fds: number[] = [];
  const refusals: Refusal[] = [];
  const budget: CopyBudget = { left: maxCopyBytes };
  for (const descriptor of descriptors) {
    const opened = openOne(descriptor, directory, { roots, budget });
    if (typeof opened === 'number') fds.push(opened);
    else refusals.push(opened);
  }
  if (refusals.length === 0) return { ok: true, fds, files: identitiesOf(descriptors, fds) };
  for (const fd of fds) closeSync(fd);
  return { ok: false, refusals };
}

/** SECURITY: promise 5. An audit after a restart of the manager knows the very files, not only their names. */
function identitiesOf(descriptors: readonly Descriptor[], fds: readonly number[]): Opened['files'] {
  const files = descriptors.flatMap((descriptor, index) => {
    const fd = fds[index];
    if (descriptor.kind !== 'file' || fd === undefined) return [];
    const { dev, ino } = fstatSync(fd);
    return [[descriptor.path, { device: dev, inode: ino }] as const];
  });
  return Object.fromEntries(files);
}

function openOne(
  descriptor: Descriptor,
  directory: string,
  { roots, budget }: { readonly roots: readonly StorageRoot[]; readonly budget: CopyBudget },
): number | Refusal {
  switch (descriptor.kind) {
    case 'file':
      return openFileOf(descriptor, roots, budget);
    case 'socket':
      return bindUnixSocket(socketPath(directory, descriptor.name), 0o660);
    case 'tap':
      return refusedAs(
        () => openTap(descriptor.bridge).fd,
        (code) =>
          code === 'ENODEV'
            ? {
                code: 'bridge-missing',
                message: `bridge "${descriptor.bridge}" is not on this host`,
                hint: `make it (ip link add ${descriptor.bridge} type bridge), or name another`,
              }
            : {
                code: 'bridge-missing',
                message: `bridge "${descriptor.bridge}": no TAP device can be joined to it (${code})`,
                hint: 'see `ip link show type bridge`, and that /dev/net/tun exists',
              },
      );
    case 'vhost-net':
      return refusedAs(
        () => openSync('/dev/vhost-net', constants.O_RDWR),
        (code) => ({
          code: 'resources-short',
          message: `/dev/vhost-net cannot be opened (${code})`,
          hint: 'modprobe vhost_net',
        }),
      );
  }
}

function refusedAs(open: () => number, explain: (code: string) => Refusal): number | Refusal {
  try {
    return open();
  } catch (error) {
    const code = errorCode(error);
    if (code === '') throw error;
    return explain(code);
  }
}

export type FileOutcome =
  | { readonly ok: true; readonly fd: number; readonly stats: Stats }
  | { readonly ok: false; readonly refusal: Refusal };

/** A regular file beneath a storage root that gives the access, opened without following a link. */
export function openGranted(path: string, access: Access, roots: readonly StorageRoot[]): FileOutcome {
  const root = rootOf(path, access, roots);
  if (!root.ok) return { ok: false, refusal: root.refusal };
  try {
    const opened = openRegularBeneath(root.root.path, root.relative, access);
    if (isTheOwners(opened.stats, root.root)) return { ok: true, ...opened };
    closeSync(opened.fd);
    return { ok: false, refusal: foreign(path) };
  } catch (error) {
    const code = errorCode(error);
    if (code === '') throw error;
    return { ok: false, refusal: explainFile(path, code) };
  }
}

/** SECURITY: promise 1. The manager can write in its own directory: a link it made there to another's file opens nothing. */
function isTheOwners(stats: Stats, { ownedBy }: StorageRoot): boolean {
  return ownedBy === undefined || (stats.uid === ownedBy && stats.nlink === 1);
}

function foreign(path: string): Refusal {
  return {
    code: 'file-unreadable',
    message: `"${path}" is not a file of the manager's own`,
    hint: 'remove it; the manager makes it anew',
  };
}

function explainFile(path: string, code: string): Refusal {
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return {
        code: 'file-missing',
        message: `"${path}" does not exist`,
        hint: 'check the path in the definition',
      };
    case 'ELOOP':
      return {
        code: 'file-kind',
        message: `"${path}" is, or lies behind, a symbolic link`,
        hint: 'write the path that the link leads to; links are never followed',
      };
    case 'EXDEV':
      return {
        code: 'policy-refused',
        message: `"${path}" leads out of its storage root`,
        hint: 'write the plain path',
      };
    case 'ENOTREG':
      return { code: 'file-kind', message: `"${path}" is not a regular file`, hint: 'name an image file' };
    default:
      return {
        code: 'file-unreadable',
        message: `"${path}" cannot be opened (${code})`,
        hint:
          code === 'EROFS'
            ? 'the file system is read-only: set readonly: true'
            : 'look at the file and its file system',
      };
  }
}

type FileDescriptor = Extract<Descriptor, { kind: 'file' }>;

function openFileOf(
  descriptor: FileDescriptor,
  roots: readonly StorageRoot[],
  budget: CopyBudget,
): number | Refusal {
  const opened = openGranted(descriptor.path, descriptor.access, roots);
  if (!opened.ok) return opened.refusal;
  // QEMU opens /proc/self/fd/N anew with the machine's uid: the file's own mode decides, or a copy that anybody may read.
  if (!descriptor.reopened || (opened.stats.mode & 0o004) !== 0) return opened.fd;
  try {
    const copy = sealedCopy(opened.fd, descriptor.path, budget.left);
    budget.left -= opened.stats.size;
    return copy;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return {
      code: 'file-unreadable',
      message: `"${descriptor.path}": ${error.message}`,
      hint: 'let others read the file (it is copied into memory only because they may not)',
    };
  } finally {
    closeSync(opened.fd);
  }
}
