/** What is plugged into the USB controller, and how many ports that has. */
import type { MachineDefinition } from './schema.ts';

export type UsbParts = Pick<MachineDefinition, 'vnc' | 'inputs' | 'sound' | 'usb'>;

/** Input devices of the machine. */
export function inputsOf({ inputs, vnc }: UsbParts): NonNullable<MachineDefinition['inputs']> {
  return inputs ?? (vnc ? [{ type: 'tablet', bus: 'usb' }] : []);
}

/** Devices on USB, in the order of their ports. */
export function usbDevices(parts: UsbParts): number {
  return inputsOf(parts).filter(({ bus }) => bus === 'usb').length + (parts.sound.model === 'usb' ? 1 : 0);
}

type Controller = 'none' | 'xhci' | 'ehci' | 'uhci';

export function usbController(parts: UsbParts): Controller {
  if (parts.usb.model !== 'auto') return parts.usb.model;
  return usbDevices(parts) > 0 ? 'xhci' : 'none';
}

/** Ports of the controller. The companions of ehci share its six. */
export function usbPorts(parts: UsbParts): number {
  switch (usbController(parts)) {
    case 'none':
      return 0;
    case 'xhci':
      return parts.usb.ports ?? Math.min(15, Math.max(4, usbDevices(parts)));
    case 'ehci':
      return 6;
    case 'uhci':
      return 2;
  }
}
