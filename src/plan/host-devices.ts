/**
 * PCI devices of the host (QEMU: hw/vfio/pci.c), which the broker binds to vfio-pci and whose groups' nodes it makes in the jail; and USB
 * devices (hw/usb/host-libusb.c), by the descriptor that the broker opens.
 */
import type { MachineDefinition } from '../definition/schema.ts';
import { hostUsbPort } from '../definition/usb-devices.ts';
import { boards, busProperties, extraPlace } from './boards.ts';
import type { DescriptorTable } from './descriptor-table.ts';
import { jsonOption, type Option } from './options.ts';

/** Numbers of the ports, behind those for what is attached later. */
const firstChassis = 32;

export function hostDeviceOptions(definition: MachineDefinition): readonly Option[] {
  const board = boards[definition.machine];
  return definition.hostDevices.flatMap(({ id, pci, rom }, index) => {
    if (pci === undefined) return [];
    const at = busProperties(board, extraPlace(definition, `host.${id}`));
    const device = { driver: 'vfio-pci', id, host: pci, ...(rom ? {} : { rombar: 0 }) };
    if (board.pciBus !== 'pcie.0') return [jsonOption('-device', { ...device, ...at })];
    // Drivers look for the link of a port above their device.
    const [port, number] = [`host.${id}`, firstChassis + index];
    return [
      jsonOption('-device', { driver: 'pcie-root-port', id: port, ...at, chassis: number, slot: number }),
      jsonOption('-device', { ...device, bus: port, addr: '00.0' }),
    ];
  });
}

/** `absent`: ids of those that are not there, which get their places when they come. */
export function usbHostOptions(
  definition: MachineDefinition,
  table: DescriptorTable,
  absent: readonly string[],
): readonly Option[] {
  return definition.hostDevices.flatMap(({ id, usb }) => {
    if (usb === undefined || absent.includes(id)) return [];
    const set = table.addUsb(usb, { subject: `device ${id}`, reason: 'USB device of the host' });
    const port = String(hostUsbPort(definition, id));
    const hostdevice = `/dev/fdset/${set}`;
    return [jsonOption('-device', { driver: 'usb-host', id, bus: 'ctl.usb.0', port, hostdevice })];
  });
}

/** QEMU's part for USB devices of the host, where it is one that is loaded. */
export const usbHostModules = (definition: MachineDefinition): readonly string[] =>
  definition.hotplug.usb || definition.hostDevices.some(({ usb }) => usb !== undefined)
    ? ['hw-usb-host']
    : [];
