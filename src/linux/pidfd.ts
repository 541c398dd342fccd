/** A process by descriptor: pidfd_open(2), pidfd_send_signal(2), and how it ended by PIDFD_GET_INFO (Linux 6.15). */
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { addressOf, libc, syscall } from './libc.ts';

const SYS_poll = 7;
const SYS_pidfd_send_signal = 424;
const SYS_pidfd_open = 434;
/** struct pidfd_info of Linux 6.15: mask at 0, exit_code at 60. */
const infoBytes = 64;
const exitCodeOffset = 60;
const PIDFD_INFO_EXIT = 1n << 3n;
/** _IOWR(0xff, 11, struct pidfd_info). */
const PIDFD_GET_INFO = (3n << 30n) | (BigInt(infoBytes) << 16n) | (0xffn << 8n) | 11n;

/** A descriptor of the process; undefined where there is none of this pid. Needs no permission over it. */
export function openPidfd(pid: number): number | undefined {
  const fd = Number(syscall(SYS_pidfd_open, [pid, 0]));
  return fd < 0 ? undefined : fd;
}

/** Whether the process has ended, all its threads and also where nobody has reaped it yet: its descriptor is then readable. */
export function pidfdEnded(pidfd: number): boolean {
  // struct pollfd: fd, events POLLIN, revents.
  const polled = Buffer.alloc(8);
  polled.writeInt32LE(pidfd, 0);
  polled.writeInt16LE(1, 4);
  return syscall(SYS_poll, [addressOf(polled), 1, 0]) > 0n;
}

/** Sends a signal; false where the process is gone. */
export function signalPidfd(pidfd: number, signal: 'SIGKILL' | 'SIGTERM'): boolean {
  return syscall(SYS_pidfd_send_signal, [pidfd, constants.signals[signal], 0, 0]) === 0n;
}

/**
 * SIGKILL to a process that is still the one that was meant; whether it was sent.
 * SECURITY: promise 1. `isTheOne` looks again once a descriptor holds the process, so that a reused pid is never hit.
 */
export function killVerified(pid: number, isTheOne: () => boolean): boolean {
  const pidfd = openPidfd(pid);
  if (pidfd === undefined) return false;
  try {
    return isTheOne() && signalPidfd(pidfd, 'SIGKILL');
  } finally {
    closeSync(pidfd);
  }
}

export type PidfdExit =
  | { readonly known: true; readonly signal: string | null; readonly exitCode: number | null }
  | { readonly known: false };

/** How the process ended; not known while it runs or waits to be reaped, and on kernels before 6.15. */
export function pidfdExit(pidfd: number): PidfdExit {
  const info = Buffer.alloc(infoBytes);
  info.writeBigUInt64LE(PIDFD_INFO_EXIT, 0);
  const result = libc().ioctl(pidfd, PIDFD_GET_INFO, addressOf(info));
  if (result < 0 || (info.readBigUInt64LE(0) & PIDFD_INFO_EXIT) === 0n) return { known: false };
  // The status as wait(2) has it.
  const status = info.readInt32LE(exitCodeOffset);
  const signal = status & 0x7f;
  if (signal === 0) return { known: true, signal: null, exitCode: (status >> 8) & 0xff };
  const name =
    Object.entries(constants.signals).find(([, number]) => number === signal)?.[0] ?? `signal ${signal}`;
  return { known: true, signal: name, exitCode: null };
}
