/** USB devices of the host as sysfs shows them (Linux: Documentation/ABI/testing/sysfs-bus-usb), hubs among them. */
import { readdirSync } from 'node:fs';
import { unlessMissing } from './errno.ts';
import { readOptional } from './process-facts-read.ts';

export interface UsbDevice {
  /** Bus and ports: `1-4.2`. */
  readonly port: string;
  /** Vendor and product: `046d:c52b`. */
  readonly id: string;
  /** What it calls itself; empty: nothing. */
  readonly product: string;
  /** `/dev/bus/usb/001/004` */
  readonly node: string;
  /** Of the node: `189:3`. */
  readonly numbers: string;
  /** It carries all that is plugged into it. */
  readonly isHub: boolean;
}

/** By port. `root`: what /sys lies beneath. */
export function usbDevices(root = ''): readonly UsbDevice[] {
  const directory = `${root}/sys/bus/usb/devices`;
  // `1-4.2`, where `1-4.2:1.0` would be a part of it and `usb1` a controller.
  const ports = (unlessMissing(() => readdirSync(directory)) ?? []).filter((name) =>
    /^\d+-[\d.]+$/.test(name),
  );
  return ports.toSorted().map((port) => {
    const read = (file: string): string => readOptional(`${directory}/${port}/${file}`).trim();
    const number = (file: string): string => read(file).padStart(3, '0');
    return {
      port,
      id: `${read('idVendor')}:${read('idProduct')}`,
      product: `${read('manufacturer')} ${read('product')}`.trim(),
      node: `/dev/bus/usb/${number('busnum')}/${number('devnum')}`,
      numbers: read('dev'),
      isHub: read('bDeviceClass') === '09',
    };
  });
}

/** Those that a machine means by a port or an id: at most one by a port. */
export const usbDevicesOf = (wanted: string, devices: readonly UsbDevice[]): readonly UsbDevice[] =>
  devices.filter(({ port, id }) => port === wanted || id === wanted);
