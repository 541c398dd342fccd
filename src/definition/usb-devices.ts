/** What is plugged into the USB controller, and how many ports that has. */
import type { DiskDefinition, MachineDefinition } from './schema.ts';

export type UsbParts = Pick<MachineDefinition, 'vnc' | 'inputs' | 'sound' | 'usb'> & {
  readonly disks: readonly Pick<DiskDefinition, 'bus'>[];
  readonly serials: readonly { readonly id: string; readonly type: string }[];
  readonly hostDevices?: readonly { readonly id: string; readonly usb?: string | undefined }[];
  readonly hotplug?: { readonly usb: boolean } | undefined;
};

/** Input devices of the machine. */
export function inputsOf({ inputs, vnc }: UsbParts): NonNullable<MachineDefinition['inputs']> {
  return inputs ?? (vnc ? [{ type: 'tablet', bus: 'usb' }] : []);
}

/** Devices on USB by kind, in the order of their ports. */
export function usbCounts(parts: UsbParts): {
  readonly inputs: number;
  readonly sound: number;
  readonly disks: number;
  readonly serials: number;
  readonly host: number;
} {
  return {
    inputs: inputsOf(parts).filter(({ bus }) => bus === 'usb').length,
    sound: parts.sound.model === 'usb' ? 1 : 0,
    disks: parts.disks.filter(({ bus }) => bus === 'usb').length,
    serials: parts.serials.filter(({ type }) => type === 'usb').length,
    host: hostUsb(parts).length,
  };
}

export function usbDevices(parts: UsbParts): number {
  return Object.values(usbCounts(parts)).reduce((sum, count) => sum + count, 0);
}

const hostUsb = ({ hostDevices = [] }: UsbParts): readonly { readonly id: string }[] =>
  hostDevices.filter(({ usb }) => usb !== undefined);

/** Free at the start, for devices of the host that are attached later. */
const reserved = 4;

type Controller = 'none' | 'xhci' | 'ehci' | 'uhci';

export function usbController(parts: UsbParts): Controller {
  if (parts.usb.model !== 'auto') return parts.usb.model;
  return usbDevices(parts) > 0 || parts.hotplug?.usb === true ? 'xhci' : 'none';
}

/** Ports of the controller. The companions of ehci share its six. */
export function usbPorts(parts: UsbParts): number {
  switch (usbController(parts)) {
    case 'none':
      return 0;
    case 'xhci':
      return (
        parts.usb.ports ??
        Math.min(15, Math.max(4, usbDevices(parts) + (parts.hotplug?.usb === true ? reserved : 0)))
      );
    case 'ehci':
      return 6;
    case 'uhci':
      return 2;
  }
}

/** Port of the serial port of that id, which is on USB. */
export function usbPort(parts: UsbParts, id: string): number {
  const { inputs, sound, disks } = usbCounts(parts);
  const serials = parts.serials.filter(({ type }) => type === 'usb');
  return 1 + inputs + sound + disks + serials.findIndex((serial) => serial.id === id);
}

/** Port of the host's device of that id. */
export function hostUsbPort(parts: UsbParts, id: string): number {
  const { host } = usbCounts(parts);
  return 1 + usbDevices(parts) - host + hostUsb(parts).findIndex((device) => device.id === id);
}
