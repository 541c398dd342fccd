/** Keys of the board: its identity, and what it has beside devices. */
import * as z from 'zod';
import { byteSize, textLike } from './scalars.ts';

const uuidExpected = 'a UUID such as 4dea22b3-1d52-d8f3-2516-782e98ab3fa0, lower case';
const uuidText = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';

export const machineVersion = textLike(
  'version',
  /^[1-9]\d?\.\d{1,2}$/,
  "a version of QEMU's boards such as '7.2', in quotes",
);

export const uuid = textLike('UUID', new RegExp(`^${uuidText}$`), uuidExpected);

export const generationId = textLike(
  'UUID',
  new RegExp(`^(?:${uuidText}|auto)$`),
  `${uuidExpected}, or auto`,
);

export const platformSchema = z.strictObject({
  acpi: z
    .boolean()
    .default(true)
    .describe('ACPI; without it `qward stop` cannot ask the guest to shut down.'),
  smm: z
    .boolean()
    .default(false)
    .describe('System management mode; only under KVM or with TCG on `q35` and `pc`.'),
  vmport: z
    .boolean()
    .default(false)
    .describe("Port of VMware's back door, as old guests with its tools use it."),
  irqchip: z
    .enum(['kernel', 'split'])
    .optional()
    .describe(
      'Under KVM: interrupt controllers in the kernel, or I/O APIC and PIC in QEMU; unset: as QEMU has it.',
    ),
  tseg: byteSize({ from: '1MiB', to: '64MiB', step: '1MiB', examples: ['16MiB', '48MiB'] })
    .optional()
    .describe('Memory of the system management mode; needs `smm`, `q35` only; unset: as QEMU has it.'),
  vmcoreinfo: z.boolean().default(false).describe('The guest tells where its kernel lies, for a dump.'),
});

/** A string of SMBIOS; QEMU counts 255 bytes. */
const smbiosText = textLike(
  'text',
  /^[\u0020-\u007e]{1,255}$/,
  '1 to 255 printable characters of ASCII',
).optional();

export const smbiosSchema = z.strictObject({
  bios: z
    .strictObject({
      vendor: smbiosText.describe('Maker of the firmware.'),
      version: smbiosText.describe('Its version.'),
      date: textLike(
        'date',
        /^(?:0[1-9]|1[0-2])\/(?:0[1-9]|[12]\d|3[01])\/\d{4}$/,
        'a date such as 12/31/2024',
      )
        .optional()
        .describe('Its date, as SMBIOS writes it.'),
      release: textLike('version', /^\d{1,2}\.\d{1,2}$/, "two numbers such as '2.2', in quotes")
        .optional()
        .describe('Its release.'),
    })
    .prefault({})
    .describe('Firmware (type 0).'),
  system: z
    .strictObject({
      manufacturer: smbiosText.describe('Maker of the machine.'),
      product: smbiosText.describe('Its name.'),
      version: smbiosText.describe('Its version.'),
      serial: smbiosText.describe('Its serial number.'),
      sku: smbiosText.describe('Its article number.'),
      family: smbiosText.describe('Its family.'),
    })
    .prefault({})
    .describe('System (type 1); its UUID is `uuid`.'),
  baseBoard: z
    .strictObject({
      manufacturer: smbiosText.describe('Maker of the board.'),
      product: smbiosText.describe('Its name.'),
      version: smbiosText.describe('Its version.'),
      serial: smbiosText.describe('Its serial number.'),
      asset: smbiosText.describe('Its tag in an inventory.'),
      location: smbiosText.describe('Its place in the chassis.'),
    })
    .prefault({})
    .describe('Base board (type 2).'),
  chassis: z
    .strictObject({
      manufacturer: smbiosText.describe('Maker of the chassis.'),
      version: smbiosText.describe('Its version.'),
      serial: smbiosText.describe('Its serial number.'),
      asset: smbiosText.describe('Its tag in an inventory.'),
      sku: smbiosText.describe('Its article number.'),
    })
    .prefault({})
    .describe('Chassis (type 3).'),
  oemStrings: z
    .array(textLike('text', /^[\u0020-\u007e]{1,255}$/, '1 to 255 printable characters of ASCII'))
    .max(64)
    .default([])
    .describe('Strings of the maker (type 11).'),
});
