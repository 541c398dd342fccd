/** What must not be reached: sockets of the host and the network. */
import { call } from './calls.ts';
import type { Probe, Surroundings } from './probe.ts';
import type { Bytes, Step } from './script.ts';

const families = { unix: 1, inet: 2, netlink: 16, packet: 17, algorithms: 38, vsock: 40 } as const;
const stream = 1;
const raw = 3;
const sequenced = 5;
const icmp = 1;
/** NETLINK_KOBJECT_UEVENT, netlink(7). */
const deviceEvents = 15;
const lacking = ['EAFNOSUPPORT', 'ESOCKTNOSUPPORT', 'EPROTONOSUPPORT'];

export const socketProbes: readonly Probe[] = [
  connecting('connect-abstract', 'network-namespace', 'connect to a socket without a path', (place) =>
    unixAddress(`\0${place.abstractSocket}`),
  ),
  connecting('connect-tcp', 'network-namespace', 'connect to 127.0.0.1', ({ tcpPort }) =>
    internetAddress(tcpPort),
  ),
  connecting('connect-manager', 'root', "connect to the manager's socket", (place) =>
    unixAddress(`${place.managerSocket}\0`),
  ),
  connecting('connect-broker', 'root', "connect to the broker's socket", (place) =>
    unixAddress(`${place.brokerSocket}\0`),
  ),
  connecting('connect-claims', 'root', 'connect to the socket for claims', (place) =>
    unixAddress(`${place.claimsSocket}\0`),
  ),
  making('socket-netlink', 'make a netlink socket', [families.netlink, raw, 0]),
  making('socket-devices', 'make a socket on which the kernel tells of devices', [
    families.netlink,
    raw,
    deviceEvents,
  ]),
  making('socket-vsock', 'make a vsock socket', [families.vsock, stream, 0]),
  making('socket-algorithms', "make a socket to the kernel's ciphers", [families.algorithms, sequenced, 0]),
  { ...making('socket-raw', 'make a raw socket', [families.inet, raw, icmp]), control: 'namespaces' },
  { ...making('socket-packet', 'make a packet socket', [families.packet, raw, 0]), control: 'namespaces' },
];

function connecting(
  name: string,
  wall: Probe['wall'],
  attempt: string,
  addressOf: (place: Surroundings) => Bytes,
): Probe {
  const steps = (place: Surroundings): Step[] => {
    const address = addressOf(place);
    const family = address.bytes[0] ?? 0;
    return [
      call('socket', family, stream, 0),
      call('connect', { resultOf: 0 }, address, address.bytes.length),
    ];
  };
  return { name, wall, attempt, control: 'same', steps };
}

function making(
  name: string,
  attempt: string,
  [family, type, protocol]: readonly [number, number, number],
): Probe {
  const steps = (): Step[] => [call('socket', family, type, protocol)];
  return { name, wall: 'seccomp', attempt, control: 'same', absent: lacking, steps };
}

/** unix(7); a name that begins with a zero has no path. */
function unixAddress(name: string): Bytes {
  return { bytes: Buffer.concat([Buffer.from([families.unix, 0]), Buffer.from(name)]) };
}

/** 127.0.0.1, ip(7). */
function internetAddress(port: number): Bytes {
  return {
    bytes: Buffer.from([families.inet, 0, port >> 8, port & 255, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]),
  };
}
