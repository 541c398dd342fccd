/** Which probes of the drill a relaxation of the machine opens: those that get through there were meant to, and no other. */
import x86 from '../../../resources/seccomp/x86_64.json' with { type: 'json' };
import type { LaunchRequest } from '../../protocol/launch.ts';
import type { Probe, Surroundings } from './probe.ts';

const withoutOurFilter =
  'socket-netlink socket-devices socket-vsock add-key use-keyring perf-event fault-handler personality socket-algorithms';
const withoutAny = `${withoutOurFilter} lower-priority change-scheduler unshare-user clone-user clone3-user fork run-from-memory run-descriptor`;

/** Walls that give way, together where there are several: what they open, each seen in a real jail (test/security/relaxations-drill.test.ts). */
export const probesOf: Readonly<Record<string, string>> = {
  'seccomp qemu': withoutOurFilter,
  'seccomp off': withoutAny,
  'namespace net': 'connect-abstract connect-tcp',
  'namespace pid': 'see-process',
  usb: 'socket-devices',
  'user root': 'reopen-for-writing',
  'capability dac_override': 'reopen-for-writing',
  'capability net_raw, namespace net': 'socket-raw',
  'capability net_raw, seccomp qemu': 'socket-raw socket-packet',
  'capability net_raw, seccomp off': 'socket-raw socket-packet',
};

const callNumbers: Readonly<Record<string, number>> = x86.calls;

/** Walls open some; a call, the probes that need just that; a device or a file, what reaches for it. */
export function isOpened(probe: Probe, launch: LaunchRequest, place: Surroundings): boolean {
  const relaxed = launch.relaxed ?? [];
  const calls = relaxed.flatMap(({ relax, to }) => (relax === 'syscall' ? [callNumbers[to]] : []));
  const walls = new Set(relaxed.map(({ relax, to }) => (relax === 'usb' ? relax : `${relax} ${to}`)));
  return (
    probe.steps(place).some(({ call }) => calls.includes(call)) ||
    Object.entries(probesOf).some(
      ([wall, names]) =>
        wall.split(', ').every((one) => walls.has(one)) && names.split(' ').includes(probe.name),
    ) ||
    openedByDevices(probe, launch, place) ||
    openedByFiles(probe, launch, place)
  );
}

const pathsOf: Readonly<Record<string, string>> = {
  'read-passwd': '/etc/passwd',
  'read-through-proc': '/etc/passwd',
  'list-home': '/home',
};

/** A probe that reaches for a path which the jail shows on purpose. */
function openedByFiles({ name }: Probe, { shown = [] }: LaunchRequest, { image }: Surroundings): boolean {
  const wanted = name === 'image-by-path' ? image : pathsOf[name];
  return shown.some(({ path }) => wanted === path || wanted?.startsWith(`${path}/`) === true);
}

function openedByDevices({ name }: Probe, { devices }: LaunchRequest, { disk }: Surroundings): boolean {
  if (name === 'open-tunnel') return devices.includes('/dev/net/tun');
  return name === 'open-host-disk' && disk !== null && devices.includes(disk);
}
