/** USB devices of the host as the session's user may open them: by the nodes beneath /dev/bus/usb, which no session changes. */
import { accessSync, constants, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { unlessMissing } from '../../linux/errno.ts';
import type { Check } from '../doctor.ts';

export interface UsbDevice {
  /** `046d:c52b` */
  readonly id: string;
  readonly product: string;
  readonly node: string;
  readonly isOurs: boolean;
}

/** Not hubs, which carry all others. `root` is where /sys and /dev are. */
export function usbDevices(root = '/'): readonly UsbDevice[] {
  const devices = join(root, 'sys/bus/usb/devices');
  // `1-4.2`, where `1-4.2:1.0` would be a part of it and `usb1` a controller.
  const names = (unlessMissing(() => readdirSync(devices)) ?? []).filter((name) => /^\d+-[\d.]+$/.test(name));
  return names.toSorted().flatMap((name): readonly UsbDevice[] => {
    const read = (file: string): string =>
      unlessMissing(() => readFileSync(join(devices, name, file), 'utf8').trim()) ?? '';
    if (read('bDeviceClass') === '09') return [];
    const number = (file: string): string => read(file).padStart(3, '0');
    const node = `/dev/bus/usb/${number('busnum')}/${number('devnum')}`;
    const product = `${read('manufacturer')} ${read('product')}`.trim();
    return [
      { id: `${read('idVendor')}:${read('idProduct')}`, product, node, isOurs: isOurs(join(root, node)) },
    ];
  });
}

function isOurs(node: string): boolean {
  try {
    accessSync(node, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

export function usbCheck(devices: readonly UsbDevice[], user: string): Check {
  const check = 'USB devices';
  const named = (ours: boolean): string =>
    devices
      .filter(({ isOurs: own }) => own === ours)
      .map(({ id, product, node }) => [product, id, node].filter(Boolean).join(' '))
      .join(', ');
  const [own, other] = [named(true), named(false)];
  const [first] = devices.filter((one) => !one.isOurs);
  if (first === undefined)
    return {
      check,
      state: 'ok',
      found: own === '' ? 'none on this host' : `yours to open: ${own}`,
      cure: '',
    };
  const [vendor = '', product = ''] = first.id.split(':');
  return {
    check,
    state: 'degraded',
    found: `${own === '' ? 'none is yours to open' : `yours to open: ${own}`}; not yours: ${other}`,
    cure: `for the first of these, as root, in /etc/udev/rules.d/70-qward-usb.rules: SUBSYSTEM=="usb", ATTR{idVendor}=="${vendor}", ATTR{idProduct}=="${product}", MODE="0660", GROUP="${user}"; then plug it in anew`,
  };
}
