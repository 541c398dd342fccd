/** Block devices by number: their size, and which LVM volume one is. Sources: blkdev ioctls (linux/fs.h), sysfs of device mapper. */
import { readFileSync } from 'node:fs';
import { addressOf, checked, libc } from './libc.ts';

/** _IOR(0x12, 114, size_t). */
const BLKGETSIZE64 = 0x8008_1272n;

/** Bytes of an open block device. */
export function blockDeviceSize(fd: number): number {
  const size = new BigUint64Array(1);
  checked(
    libc().ioctl(fd, BLKGETSIZE64, addressOf(new Uint8Array(size.buffer))),
    'BLKGETSIZE64',
    'block device',
  );
  return Number(size[0]);
}

/** Major and minor of a device number: gnu_dev_major(3), gnu_dev_minor(3). */
export function deviceNumbers(rdev: number): { readonly major: number; readonly minor: number } {
  return { major: (rdev >>> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00) };
}

/**
 * Whether the device is the LVM volume that device mapper calls so. LVM gives a volume the uuid `LVM-` and the ids of group
 * and volume; what it hides beneath a volume (of a pool, a mirror, a snapshot) has a suffix, and is none.
 */
export function isLvmVolume(rdev: number, name: string, blockDevices = '/sys/dev/block'): boolean {
  const { major, minor } = deviceNumbers(rdev);
  const read = (file: string): string =>
    readFileSync(`${blockDevices}/${major}:${minor}/dm/${file}`, 'utf8').trimEnd();
  try {
    return read('name') === name && /^LVM-[a-zA-Z0-9]{64}$/.test(read('uuid'));
  } catch {
    return false;
  }
}
