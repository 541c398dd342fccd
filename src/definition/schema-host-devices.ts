/** Keys of the host's own devices, which a machine has to itself. */
import * as z from 'zod';
import { why } from './schema-confinement.ts';
import { identifier, textLike } from './scalars.ts';

/** Domain, bus, slot and function. */
const pciAddress = /^[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/;
/** Vendor and product; or bus and ports, as sysfs names a device. */
const usbDevice = /^(?:[0-9a-f]{4}:[0-9a-f]{4}|[1-9]\d{0,2}-[1-9]\d{0,2}(?:\.[1-9]\d{0,2}){0,5})$/;

export const hostDeviceSchema = z.strictObject({
  id: identifier.describe('Name of the device within the machine.'),
  pci: textLike('address', pciAddress, "an address such as '0000:65:00.0', in quotes, as lspci -D prints it")
    .optional()
    .describe('Address of a PCI device, which the host does without while the machine runs.')
    .meta({ examples: ['0000:65:00.0'] }),
  usb: textLike(
    'device',
    usbDevice,
    "vendor and product as lsusb prints them, '046d:c52b', or a port as /sys/bus/usb/devices names it, '1-4.2', in quotes",
  )
    .optional()
    .describe(
      'A USB device in place of `pci`: the one of that vendor and product, or whichever is plugged in at that port. It comes back by this after it was pulled out.',
    )
    .meta({ examples: ['046d:c52b', '1-4.2'] }),
  optional: z
    .boolean()
    .default(false)
    .describe('For `usb`: the machine starts without it where it is not there, and gets it when it comes.'),
  rom: z
    .boolean()
    .default(true)
    .describe('Show the guest the ROM of a PCI device; off where it hangs the firmware.'),
  ...why,
});
