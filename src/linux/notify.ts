/** Telling the service manager how this program does: sd_notify(3), sd_watchdog_enabled(3). */
import { closeSync } from 'node:fs';
import { addressOf, libc, syscall } from './libc.ts';
import { unixAddress } from './unix-socket.ts';

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const SYS_sendto = 44;

export interface Notifier {
  /** Assignments such as `READY=1`. Nothing happens where nobody listens: what is told is never worth a fault. */
  readonly tell: (...assignments: readonly string[]) => void;
  /** Within this many milliseconds the watchdog wants to hear `WATCHDOG=1`; undefined: there is none. */
  readonly watchdogMs: number | undefined;
}

/** Clears the environment: no program that is started later is to speak for this one. */
export function createNotifier(environment: NodeJS.ProcessEnv, pid: number): Notifier {
  const path = environment['NOTIFY_SOCKET'];
  const micros = Number(environment['WATCHDOG_USEC'] ?? '0');
  const forUs = Number(environment['WATCHDOG_PID'] ?? pid) === pid;
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete environment[name];
  const address = path === undefined ? undefined : addressFor(path);
  return {
    tell: (...assignments) => {
      if (address !== undefined)
        send(address, assignments.map((line) => line.replaceAll('\n', ' ')).join('\n'));
    },
    watchdogMs: address !== undefined && forUs && micros > 0 ? micros / 1000 : undefined,
  };
}

/** A path, or `@NAME` in the abstract namespace; anything else is not understood, and then nobody is told. */
function addressFor(path: string): Buffer | undefined {
  if (!/^[@/]./.test(path)) return undefined;
  try {
    return unixAddress(path);
  } catch {
    return undefined;
  }
}

/** One datagram; a receiver that is gone or does not read costs nothing. */
function send(address: Buffer, text: string): void {
  const fd = libc().socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const bytes = Buffer.from(text, 'utf8');
  syscall(SYS_sendto, [
    fd,
    addressOf(bytes),
    bytes.length,
    MSG_DONTWAIT | MSG_NOSIGNAL,
    addressOf(address),
    address.length,
  ]);
  closeSync(fd);
}
