/** TAP devices that live as long as their descriptor: Documentation/networking/tuntap.rst of Linux, netdevice(7). */
import { closeSync, constants, openSync, writeFileSync } from 'node:fs';
import { addressOf, checked, libc } from './libc.ts';

const TUNSETIFF = 0x400454can;
const TUNGETIFF = 0x800454d2n;
const SIOCGIFFLAGS = 0x8913n;
const SIOCSIFFLAGS = 0x8914n;
const SIOCGIFMTU = 0x8921n;
const SIOCSIFMTU = 0x8922n;
const SIOCSIFHWADDR = 0x8924n;
const SIOCGIFHWADDR = 0x8927n;
const SIOCGIFINDEX = 0x8933n;
const SIOCBRADDIF = 0x89a2n;
const IFF_UP = 1;
const IFF_TAP_NO_PI_VNET_HDR = 0x0002 | 0x1000 | 0x4000;
const IFF_MULTI_QUEUE = 0x0100;
const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;

/** struct ifreq: 16 bytes of name, then a union of 24. */
function interfaceRequest(name: string): Buffer {
  const request = Buffer.alloc(40);
  if (Buffer.byteLength(name) > 15) throw new RangeError(`${name}: longer than 15 bytes`);
  request.write(name, 0, 'latin1');
  return request;
}

/**
 * Makes a TAP device in this process's network namespace, joins it to `bridge` and brings it up. The device is not
 * persistent: the kernel removes it when the last descriptor is closed, whatever dies. Needs CAP_NET_ADMIN.
 * `beforeJoining` is called with its name; `multiQueue`: openQueue comes. Throws SystemError; ENODEV where there is no such bridge.
 */
export function openTap(
  bridge: string,
  names = 'qward%d',
  beforeJoining: (name: string) => void = () => undefined,
  multiQueue = false,
): { fd: number; name: string } {
  const tap = openSync('/dev/net/tun', constants.O_RDWR | constants.O_NONBLOCK);
  let control = -1;
  try {
    control = checked(libc().socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'socket', bridge);
    const call = (fd: number, number: bigint, request: Buffer, what: string): void => {
      checked(libc().ioctl(fd, number, addressOf(request)), what, bridge);
    };
    // The kernel puts the first free number in place of %d.
    const create = interfaceRequest(names);
    create.writeUInt16LE(IFF_TAP_NO_PI_VNET_HDR | (multiQueue ? IFF_MULTI_QUEUE : 0), 16);
    call(tap, TUNSETIFF, create, 'TUNSETIFF');
    const name = create.toString('latin1', 0, create.indexOf(0));
    keepHostOut(name);
    // A first byte of fe keeps the bridge from taking this address as its own, which it does with the lowest one.
    const address = interfaceRequest(name);
    call(control, SIOCGIFHWADDR, address, 'SIOCGIFHWADDR');
    address.writeUInt8(0xfe, 18);
    call(control, SIOCSIFHWADDR, address, 'SIOCSIFHWADDR');
    // A bridge takes the least MTU of its ports, and with it from all others on it.
    const mtu = interfaceRequest(bridge);
    call(control, SIOCGIFMTU, mtu, 'SIOCGIFMTU');
    const own = interfaceRequest(name);
    mtu.copy(own, 16, 16);
    call(control, SIOCSIFMTU, own, 'SIOCSIFMTU');
    beforeJoining(name);
    const index = interfaceRequest(name);
    call(control, SIOCGIFINDEX, index, 'SIOCGIFINDEX');
    const join = interfaceRequest(bridge);
    join.writeInt32LE(index.readInt32LE(16), 16);
    call(control, SIOCBRADDIF, join, 'SIOCBRADDIF');
    const flags = interfaceRequest(name);
    call(control, SIOCGIFFLAGS, flags, 'SIOCGIFFLAGS');
    flags.writeUInt16LE(flags.readUInt16LE(16) | IFF_UP, 16);
    call(control, SIOCSIFFLAGS, flags, 'SIOCSIFFLAGS');
    return { fd: tap, name };
  } catch (error) {
    closeSync(tap);
    throw error;
  } finally {
    if (control >= 0) closeSync(control);
  }
}

/** One more queue of the TAP device that was opened as `tap`, with the flags that it has. Throws SystemError where it is none. */
export function openQueue(tap: number): number {
  const device = Buffer.alloc(40);
  checked(libc().ioctl(tap, TUNGETIFF, addressOf(device)), 'TUNGETIFF', 'TAP device');
  const queue = openSync('/dev/net/tun', constants.O_RDWR | constants.O_NONBLOCK);
  try {
    checked(libc().ioctl(queue, TUNSETIFF, addressOf(device)), 'TUNSETIFF', 'TAP device');
    return queue;
  } catch (error) {
    closeSync(queue);
    throw error;
  }
}

/** SECURITY: promise 2. The host itself speaks no IPv6 on the device: a guest's router advertisements reach nobody there. */
export function keepHostOut(name: string): void {
  try {
    writeFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, '1');
  } catch {
    // A kernel without IPv6 has no such file.
  }
}
