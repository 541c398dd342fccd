/** USB devices of the host for `doctor`: which there are, and in a session, which of them its user may open. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { usbDevices, type UsbDevice } from '../../linux/usb-devices.ts';
import type { Check } from '../doctor.ts';

interface OwnUsbDevice extends UsbDevice {
  readonly isOurs: boolean;
}

/** Not hubs, which carry all others. `root` is where /sys and /dev are. */
export function ownUsbDevices(root = '/'): readonly OwnUsbDevice[] {
  return usbDevices(root).flatMap((device) =>
    device.isHub ? [] : [{ ...device, isOurs: isOurs(join(root, device.node)) }],
  );
}

function isOurs(node: string): boolean {
  try {
    accessSync(node, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

const check = 'USB devices';
const none: Check = { check, state: 'ok', found: 'none on this host', cure: '' };

/** Of the system instance, in which any of them can be given to a machine. */
export function usbCheck(devices: readonly Pick<UsbDevice, 'id' | 'port' | 'product'>[]): Check {
  if (devices.length === 0) return none;
  const found = devices.map(
    ({ id, port, product }) => `${[product, id].filter(Boolean).join(' ')} at ${port}`,
  );
  return { ...none, found: found.join(', ') };
}

export function ownUsbCheck(devices: readonly OwnUsbDevice[], user: string): Check {
  const named = (ours: boolean): string =>
    devices
      .filter(({ isOurs: own }) => own === ours)
      .map(({ id, product, node }) => [product, id, node].filter(Boolean).join(' '))
      .join(', ');
  const [own, other] = [named(true), named(false)];
  const [first] = devices.filter((one) => !one.isOurs);
  if (first === undefined) return own === '' ? none : { ...none, found: `yours to open: ${own}` };
  const [vendor = '', product = ''] = first.id.split(':');
  return {
    check,
    state: 'degraded',
    found: `${own === '' ? 'none is yours to open' : `yours to open: ${own}`}; not yours: ${other}`,
    cure: `for the first of these, as root, in /etc/udev/rules.d/70-qward-usb.rules: SUBSYSTEM=="usb", ATTR{idVendor}=="${vendor}", ATTR{idProduct}=="${product}", MODE="0660", GROUP="${user}"; then plug it in anew`,
  };
}
