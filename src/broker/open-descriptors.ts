/** Opens what a launch names, in its order. All of it or nothing: on a refusal everything that was opened is closed. */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { sealedCopy, type OpenFile } from '../linux/descriptors.ts';
import { openAsOwn, openReadOnly } from '../linux/idmapped.ts';
import { openTap } from '../linux/tap.ts';
import { bindUnixSocket } from '../linux/unix-socket.ts';
import type { FileGrounds } from '../policy/file-rules.ts';
import type { LaunchedMachine, Refusal } from '../protocol/broker.ts';
import type { Descriptor, LaunchRequest, SocketName } from '../protocol/launch.ts';
import { errorCode } from '../linux/errno.ts';
import { openGranted } from './open-file.ts';

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

/** To which machine, and by what right. */
interface Giving {
  readonly directory: string;
  readonly grounds: FileGrounds;
  readonly uid: number;
  readonly budget: CopyBudget;
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

/** `directory` is the machine's, for its sockets; `uid` its own. */
export async function openDescriptors(
  descriptors: readonly Descriptor[],
  machine: Omit<Giving, 'budget'>,
): Promise<OpenOutcome> {
  const fds: number[] = [];
  const refusals: Refusal[] = [];
  const giving: Giving = { ...machine, budget: { left: maxCopyBytes } };
  try {
    for (const descriptor of descriptors) {
      const opened = await openOne(descriptor, giving);
      if (typeof opened === 'number') fds.push(opened);
      else refusals.push(opened);
    }
    if (refusals.length === 0) return { ok: true, files: identitiesOf(descriptors, fds), fds: fds.splice(0) };
    return { ok: false, refusals };
  } finally {
    for (const fd of fds) closeSync(fd);
  }
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

function openOne(descriptor: Descriptor, giving: Giving): number | Refusal | Promise<number | Refusal> {
  switch (descriptor.kind) {
    case 'file':
      return openFileOf(descriptor, giving);
    case 'socket':
      return bindUnixSocket(socketPath(giving.directory, descriptor.name), 0o660);
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

type FileDescriptor = Extract<Descriptor, { kind: 'file' }>;

async function openFileOf(descriptor: FileDescriptor, giving: Giving): Promise<number | Refusal> {
  const { access, reopened } = descriptor;
  const opened = openGranted(descriptor, giving.grounds);
  if (!opened.ok) return opened.refusal;
  // What others may do is what the machine's uid may do.
  const others = opened.stats.isFile() ? opened.stats.mode & 0o006 : 0;
  const open = !reopened || others === 0o006 || (access === 'ro' && others === 0o004);
  // SECURITY: promise 2. To be read means so: by /proc/self/fd/N a descriptor leads past the directories that keep others away.
  const mayBeWritten = access === 'ro' && (others & 0o002) !== 0;
  if (open && !mayBeWritten) return opened.fd;
  try {
    return open ? shutToWriters(descriptor, opened.fd) : await reopenable(descriptor, opened, giving);
  } finally {
    closeSync(opened.fd);
  }
}

function shutToWriters({ path }: FileDescriptor, fd: number): number | Refusal {
  return refusedAs(
    () => openReadOnly(fd),
    (code) => ({
      code: 'file-unreadable',
      message: `"${path}": everybody may write it, and it cannot be shown to be read alone (${code})`,
      hint: `chmod o-w "${path}"`,
    }),
  );
}

/** A descriptor that the machine's uid may open again at /proc/self/fd/N: the file as if its own, else a copy of it. */
async function reopenable(
  { path, access }: FileDescriptor,
  { fd, stats }: OpenFile,
  { uid, budget }: Giving,
): Promise<number | Refusal> {
  const refusal = (reason: string, hint: string): Refusal => ({
    code: 'file-unreadable',
    message: `"${path}": ${reason}`,
    hint,
  });
  if (!stats.isFile())
    return {
      ...refusal(
        'it is a block device, and the jail of an image tool has none',
        `copy it as root: qemu-img convert -f raw ${path} IMAGE`,
      ),
      code: 'file-kind',
    };
  let reason = `its owner may not ${access === 'ro' ? 'read' : 'write'} it`;
  if ((stats.mode & (access === 'ro' ? 0o400 : 0o600)) === (access === 'ro' ? 0o400 : 0o600)) {
    try {
      return await openAsOwn(fd, stats, { uid, access });
    } catch (error) {
      if (errorCode(error) === '') throw error;
      reason = `its file system cannot show it to the machine (${errorCode(error)})`;
    }
  }
  if (access === 'rw') return refusal(reason, 'move it to a file system that can: ext4, xfs, btrfs or tmpfs');
  try {
    const copy = sealedCopy(fd, path, budget.left);
    budget.left -= stats.size;
    return copy;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return refusal(
      `${reason}, and ${error.message}`,
      'let others read the file, or move it to ext4, xfs, btrfs or tmpfs',
    );
  }
}
