/** Opens what a launch names, in its order. All of it or nothing: on a refusal everything that was opened is closed. */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { openQueue, openTap } from '../linux/tap.ts';
import { bindUnixSocket, blocking, connectUnixSocket, listening } from '../linux/unix-socket.ts';
import type { FileGrounds } from '../policy/file-rules.ts';
import type { LaunchedMachine, Refusal } from '../protocol/broker.ts';
import { firstDescriptor, type Descriptor, type LaunchRequest, type SocketName } from '../protocol/launch.ts';
import type { FileDescriptor, FileGiving, Means } from './means.ts';
import { openGranted } from './open-file.ts';
import type { LaunchRecord } from './records.ts';
import { refusedAs } from './refused-as.ts';
import { openUsbDevice } from './usb-devices.ts';

/** The descriptors that will be 3, 4, … in QEMU. The caller closes them. */
export interface Opened {
  readonly fds: readonly number[];
  /** What each path was when it was opened. */
  readonly files: LaunchedMachine['files'];
}

/** Of all copies of one launch together: they are host memory that no limit of the machine counts. */
const maxCopyBytes = 512 * 1024 * 1024;

/** To which machine, and by what right. */
interface Giving extends FileGiving {
  readonly directory: string;
  readonly grounds: FileGrounds;
  readonly means: Means;
  /** Of all machines. */
  readonly records: () => readonly LaunchRecord[];
  /** What was opened before, from descriptor 3 on. */
  readonly fds: readonly number[];
  /** Descriptors of which there are further queues. */
  readonly queued: ReadonlySet<number>;
  /** It is virtiofsd, which waits for its QEMU. */
  readonly waits?: boolean;
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

/** `directory` is the machine's, for its sockets. */
export async function openDescriptors(
  descriptors: readonly Descriptor[],
  machine: Omit<Giving, 'budget' | 'written' | 'fds' | 'queued'>,
): Promise<OpenOutcome> {
  const fds: number[] = [];
  const refusals: Refusal[] = [];
  const written = descriptors.flatMap((one) =>
    one.kind === 'file' && one.access === 'rw' ? [one.path] : [],
  );
  const queued = new Set(descriptors.flatMap((one) => (one.kind === 'queue' ? [one.of] : [])));
  const giving: Giving = {
    ...machine,
    budget: { left: maxCopyBytes },
    written: new Set(written),
    fds,
    queued,
  };
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
    if ((descriptor.kind !== 'file' && descriptor.kind !== 'usb') || fd === undefined) return [];
    const { dev, ino } = fstatSync(fd);
    const name = descriptor.kind === 'file' ? descriptor.path : descriptor.device;
    return [[name, { device: dev, inode: ino }] as const];
  });
  return Object.fromEntries(files);
}

function openOne(descriptor: Descriptor, giving: Giving): number | Refusal | Promise<number | Refusal> {
  const { fds, queued } = giving;
  // What is refused ends the launch, so none is missing before this one where that matters.
  const multiQueue = queued.has(firstDescriptor + fds.length);
  switch (descriptor.kind) {
    case 'file':
      return openFile(descriptor, giving);
    case 'socket':
      return bindUnixSocket(socketPath(giving.directory, descriptor.name), 0o660);
    case 'tap':
      return refusedAs(
        () => openTap(descriptor.bridge, undefined, undefined, multiQueue).fd,
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
    case 'card':
      return giving.means.openCard(basename(giving.directory), descriptor, multiQueue);
    case 'queue':
      return refusedAs(
        () => openQueue(fds[descriptor.of - firstDescriptor] ?? -1),
        (code) => ({
          code: 'resources-short',
          message: `descriptor ${descriptor.of} has no further queue (${code})`,
          hint: 'name a TAP device; a host with less memory has fewer queues',
        }),
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
    case 'netdev':
      return giving.waits === true
        ? listening(bindUnixSocket(socketPath(giving.directory, descriptor.socket), 0o600))
        : connectCard(descriptor, giving.directory);
    case 'usb':
      return openUsbDevice(descriptor.device, giving.records);
  }
}

/** SECURITY: promise 1. In a directory where root alone makes names, and without waiting for the QEMU that listens there. */
function connectCard(
  { machine, socket }: Extract<Descriptor, { kind: 'netdev' }>,
  own: string,
): number | Refusal {
  const connected = connectUnixSocket(socketPath(`${dirname(own)}/${machine}`, socket));
  if ('fd' in connected) return blocking(connected.fd);
  return {
    code: 'machine-not-running',
    message: `socket ${socket} of "${machine}" takes no connection (${connected.code})`,
    hint: 'start the machine; one card has one network',
  };
}

function openFile(file: FileDescriptor, giving: Giving): number | Refusal | Promise<number | Refusal> {
  const opened = openGranted(file, giving.grounds, giving.means);
  return opened.ok ? giving.means.giveFile(file, opened, giving) : opened.refusal;
}
