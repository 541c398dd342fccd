/**
 * Starts QEMU from a launch plan without a jail: opens what the plan lists, as the broker would, and runs the very same
 * arguments. For tests of the plan itself and for the comparison in bench/.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { bindUnixSocket } from '../../src/linux/unix-socket.ts';
import { openTap } from '../../src/linux/tap.ts';
import type { Descriptor, LaunchRequest, SocketName } from '../../src/protocol/launch.ts';

export interface BareQemu {
  readonly child: ChildProcess;
  /** Path of each socket that QEMU listens on. */
  readonly sockets: Readonly<Partial<Record<SocketName, string>>>;
  /** QEMU's stdout and stderr. */
  readonly log: string;
}

function open(descriptor: Descriptor, directory: string, netdev?: () => number): number {
  switch (descriptor.kind) {
    case 'file':
      return openSync(descriptor.path, descriptor.access === 'ro' ? 'r' : 'r+');
    case 'socket':
      return bindUnixSocket(join(directory, `${descriptor.name}.sock`), 0o600);
    case 'tap':
      return openTap(descriptor.bridge).fd;
    case 'vhost-net':
      return openSync('/dev/vhost-net', 'r+');
    case 'netdev':
      if (netdev !== undefined) return netdev();
      throw new Error('no server in this test');
    case 'card':
    case 'queue':
    case 'usb':
      throw new Error('only the broker joins networks, and opens USB devices');
  }
}

/** Sockets and log go to `directory`. The caller ends the child. */
export function startBareQemu(launch: LaunchRequest, directory: string, netdev?: () => number): BareQemu {
  const log = join(directory, 'log');
  const opened = [openSync(log, 'a')];
  try {
    for (const descriptor of launch.descriptors) opened.push(open(descriptor, directory, netdev));
    const [logFd = 2, ...rest] = opened;
    const child = spawn(launch.binary, launch.argv, {
      stdio: ['ignore', logFd, logFd, ...rest],
      env: { ...launch.env },
    });
    const names = launch.descriptors.flatMap((each) => (each.kind === 'socket' ? [each.name] : []));
    return {
      child,
      sockets: Object.fromEntries(names.map((name) => [name, join(directory, `${name}.sock`)])),
      log,
    };
  } finally {
    for (const fd of opened) closeSync(fd);
  }
}
