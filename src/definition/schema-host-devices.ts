/** Keys of the host's own devices, which a machine has to itself. */
import * as z from 'zod';
import { why } from './schema-confinement.ts';
import { identifier, textLike } from './scalars.ts';

/** Domain, bus, slot and function. */
const pciAddress = /^[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/;

export const hostDeviceSchema = z.strictObject({
  id: identifier.describe('Name of the device within the machine.'),
  pci: textLike('address', pciAddress, "an address such as '0000:65:00.0', in quotes, as lspci -D prints it")
    .describe('Address of a PCI device, which the host does without while the machine runs.')
    .meta({ examples: ['0000:65:00.0'] }),
  rom: z
    .boolean()
    .default(true)
    .describe('Show the guest the ROM of the device; off where it hangs the firmware.'),
  ...why,
});
