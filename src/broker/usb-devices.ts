/** USB devices of the host for a machine (Linux: Documentation/driver-api/usb/usb.rst, "The USB character device nodes"): by their nodes, which stay root's. */
import { closeSync, constants, fstatSync, openSync, readdirSync, readlinkSync } from 'node:fs';
import { deviceNumbers } from '../linux/block-device.ts';
import { unlessMissing } from '../linux/errno.ts';
import { isAlive } from '../linux/process.ts';
import { usbDevices, usbDevicesOf } from '../linux/usb-devices.ts';
import type { Refusal } from '../protocol/broker.ts';
import type { LaunchRecord } from './records.ts';
import { refusedAs } from './refused-as.ts';

/** USB_DEVICE_MAJOR of linux/usb.h. */
const major = 189;
const flags = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * SECURITY: promise 1. `wanted` is held against what the kernel tells of each device, and is no part of any path. What the open
 * descriptor is, is looked at on it; that it is still the device that was found, in sysfs once more. The caller closes it.
 */
export function openUsbDevice(
  wanted: string,
  records: () => readonly LaunchRecord[],
  root = '',
): number | Refusal {
  const refusal = (code: string, why: string, hint: string): Refusal => {
    const message = `USB device ${wanted} ${why}`;
    return { code, message, hint };
  };
  const found = usbDevicesOf(wanted, usbDevices(root));
  const [device] = found;
  const ports = found.map(({ port }) => port).join(', ');
  if (device === undefined)
    return refusal('file-missing', 'is not there', 'plug it in; `qward doctor` shows which there are');
  const { node, numbers, isHub } = device;
  if (found.length > 1)
    return refusal('broker-refused', `is at each of the ports ${ports}`, 'name one by its port');
  if (isHub)
    return refusal('broker-refused', 'is a hub, which carries others', 'name what is plugged into it');
  const holder = holderOf(`${root}${node}`, records);
  if (holder !== undefined)
    return refusal('device-kept', `is with ${holder}`, 'detach it there: `qward detach MACHINE ID`');
  const fd = refusedAs(
    () => openSync(`${root}${node}`, flags),
    (code) => refusal('file-unreadable', `cannot be opened at ${node} (${code})`, 'see `qward doctor`'),
  );
  if (typeof fd !== 'number') return fd;
  const stats = fstatSync(fd);
  const opened = deviceNumbers(stats.rdev);
  const after = usbDevicesOf(wanted, usbDevices(root))[0];
  if (
    stats.isCharacterDevice() &&
    opened.major === major &&
    numbers === `${major}:${opened.minor}` &&
    after?.numbers === numbers
  )
    return fd;
  closeSync(fd);
  return refusal('broker-refused', `is not what ${node} is`, 'try again; it may have been plugged in anew');
}

/** Who has it open; the broker itself where it is about to give it away. */
function holderOf(node: string, records: () => readonly LaunchRecord[]): string | undefined {
  const has = (process: number | 'self'): boolean =>
    (unlessMissing(() => readdirSync(`/proc/${process}/fd`), ['ENOENT', 'ESRCH', 'EACCES']) ?? []).some(
      (fd) => unlessMissing(() => readlinkSync(`/proc/${process}/fd/${fd}`)) === node,
    );
  if (has('self')) return 'a machine that is being started';
  const holder = records().find(({ pid, startTime }) => isAlive(pid, startTime) && has(pid));
  return holder === undefined ? undefined : `machine "${holder.machine}"`;
}
