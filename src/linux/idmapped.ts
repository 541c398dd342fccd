/**
 * A descriptor of a file that one uid may open again as if the file were its own, while the file stays as it is: a mount of
 * that file alone, attached nowhere, on which its owner appears as the uid: open_tree(2), mount_setattr(2),
 * user_namespaces(7).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, writeFileSync, type Stats } from 'node:fs';
import type { Access } from './descriptors.ts';
import { addressOf, checked, cString, syscall } from './libc.ts';

const SYS_open_tree = 428;
const SYS_mount_setattr = 442;
const AT_EMPTY_PATH = 0x1000;
const OPEN_TREE_CLONE = 1;
const O_CLOEXEC = 0o2000000;
const MOUNT_ATTR_RDONLY = 0x1n;
const MOUNT_ATTR_NOSUID_NODEV_NOEXEC = 0xen;
const MOUNT_ATTR_IDMAP = 0x0010_0000n;
const namespaceDeadlineMs = 5000;

/**
 * The file of `fd` on such a mount. Throws an error with a code where the kernel, the file system (Linux 6.18: ext4, xfs,
 * btrfs, tmpfs and others can) or the file's mode does not allow it.
 */
export async function openAsOwn(
  fd: number,
  stats: Stats,
  { uid, access }: { readonly uid: number; readonly access: Access },
): Promise<number> {
  const namespace = await mappingNamespace(stats, uid);
  try {
    return openOnMount(fd, access, namespace);
  } finally {
    closeSync(namespace);
  }
}

/** The file of `fd` to be read, on a mount on which nobody can open it to be written. Throws an error with a code. */
export const openReadOnly = (fd: number): number => openOnMount(fd, 'ro', null);

/** `namespace` maps the ids on the mount; null: they are as they are. */
function openOnMount(fd: number, access: Access, namespace: number | null): number {
  const mount = cloneTree(fd, 0);
  try {
    // SECURITY: promise 3. What is given to be read cannot be opened again to be written, though the uid counts as owner.
    const mapped = namespace === null ? 0n : MOUNT_ATTR_IDMAP;
    setAttributes(mount, [mapped | attributesFor(access), 0n, 0n, BigInt(namespace ?? 0)], 0);
    const mode = access === 'ro' ? constants.O_RDONLY : constants.O_RDWR;
    return openSync(`/proc/self/fd/${mount}`, mode | constants.O_NONBLOCK);
  } finally {
    closeSync(mount);
  }
}

const AT_RECURSIVE = 0x8000;
const MS_SLAVE = 1n << 19n;
const empty = cString('');

/** Of the file of `fd`, with what is mounted beneath it where that is asked for. */
function cloneTree(fd: number, recursive: number): number {
  const flags = AT_EMPTY_PATH | OPEN_TREE_CLONE | O_CLOEXEC | recursive;
  return checked(syscall(SYS_open_tree, [fd, addressOf(empty), flags]), 'open_tree', 'file');
}

const attributesFor = (access: Access): bigint =>
  MOUNT_ATTR_NOSUID_NODEV_NOEXEC | (access === 'ro' ? MOUNT_ATTR_RDONLY : 0n);

/** struct mount_attr: set, clear, propagation, user namespace. */
function setAttributes(mount: number, words: readonly bigint[], recursive: number): void {
  const bytes = new Uint8Array(BigUint64Array.from(words).buffer);
  const call = [mount, addressOf(empty), AT_EMPTY_PATH | recursive, addressOf(bytes), bytes.length];
  checked(syscall(SYS_mount_setattr, call), 'mount_setattr', 'file');
}

/**
 * What `fd` is, as a mount that is attached nowhere, of which nothing reaches the host: what is mounted beneath it there later
 * appears, nothing goes back. `owner` appears on it as the uid; null: everybody as they are. Throws an error with a code.
 * The caller closes the descriptor.
 */
export async function cloneMount(
  fd: number,
  { access, owner, uid }: { readonly access: Access; readonly owner: Ids | null; readonly uid: number },
): Promise<number> {
  const mount = cloneTree(fd, AT_RECURSIVE);
  try {
    // SECURITY: promise 3. What is given to be read is so for every mount of it.
    setAttributes(mount, [attributesFor(access), 0n, MS_SLAVE, 0n], AT_RECURSIVE);
    if (owner === null) return mount;
    const namespace = await mappingNamespace(owner, uid);
    try {
      setAttributes(mount, [MOUNT_ATTR_IDMAP, 0n, 0n, BigInt(namespace)], 0);
    } finally {
      closeSync(namespace);
    }
    return mount;
  } catch (error) {
    closeSync(mount);
    throw error;
  }
}

export interface Ids {
  readonly uid: number;
  readonly gid: number;
}

/** A user namespace in which the file's owner and group are the uid; of a child that is gone when this resolves. */
async function mappingNamespace(stats: Ids, uid: number): Promise<number> {
  const child = spawn('/usr/bin/unshare', ['--user', '--', '/bin/cat'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: {},
    timeout: namespaceDeadlineMs,
    killSignal: 'SIGKILL',
  });
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
    child.once('error', () => resolve());
  });
  try {
    // What comes back was said from inside the new namespace.
    child.stdin.on('error', () => undefined).write('\n');
    await Promise.race([once(child.stdout, 'data'), ended]);
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null)
      throw Object.assign(new Error('no user namespace can be made'), { code: 'ENOSPC' });
    const proc = `/proc/${child.pid}`;
    writeFileSync(`${proc}/uid_map`, `${stats.uid} ${uid} 1\n`);
    writeFileSync(`${proc}/gid_map`, `${stats.gid} ${uid} 1\n`);
    return openSync(`${proc}/ns/user`, constants.O_RDONLY);
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}
