/** Firmware, kernels, boot order, what the firmware says of the machine. */
import { isHostPath } from '../host-path.ts';
import { changed, imported, unsupported, whole, type Verdict } from '../verdict.ts';
import { attributeOf, childOf, textOf, type XmlElement } from '../xml/xml-node.ts';
import { noKey } from './phrases.ts';
import { isOn } from './quantities.ts';
import type { Place, Rules } from './rule-table.ts';

/** Whether the firmware is UEFI: said, or a flash chip of that kind. */
export function isUefi(os: XmlElement | undefined): boolean {
  const loader = childOf(os, 'loader');
  if (attributeOf(os, 'firmware') === 'efi') return true;
  if (loader === undefined) return false;
  return attributeOf(loader, 'type') === 'pflash' || /OVMF|edk2|efi/i.test(textOf(loader));
}

function firmware(place: Place): Verdict {
  if (isUefi(place.element)) place.setMachine('firmware', 'uefi');
  return imported;
}

function machineType(place: Place): Verdict {
  const { draft, value } = place;
  if (draft.board === 'other' || draft.board === 'isapc')
    return unsupported(`qward has no board "${value}"; machine: pc is taken`);
  place.setMachine('machine', draft.board);
  const version = /^pc-(?:i440fx-|q35-)(\d+\.\d+)$/.exec(value)?.[1];
  if (version !== undefined) return place.setMachine('machineVersion', version);
  return value === draft.board
    ? imported
    : changed(
        `${value} is a board of a distribution or of an old QEMU; machine: ${draft.board} is the newest`,
      );
}

function architecture(place: Place): Verdict {
  if (place.value === 'x86_64') return imported;
  return changed('qemu-system-x86_64 runs 32-bit guests too');
}

function path(key: string) {
  return (place: Place): Verdict =>
    isHostPath(place.value)
      ? place.setMachine(key, place.value)
      : unsupported('no absolute path without ".", ".." and empty parts');
}

function bootDevice(place: Place): Verdict {
  if (place.value === 'fd') return unsupported('there are no floppy drives');
  if (!['hd', 'cdrom', 'network'].includes(place.value)) return unsupported('nothing that boots');
  place.draft.bootDevices.push(place.value);
  return imported;
}

function loader(place: Place): Verdict {
  if (isUefi(childOf(place.draft.root, 'os')))
    return changed('firmware: uefi takes the OVMF that is installed on the host');
  return /seabios|bios(?:-256k)?\.bin/i.test(place.value)
    ? changed('firmware: bios is the SeaBIOS of the host’s QEMU')
    : unsupported('firmware images of your own are not taken; SeaBIOS or OVMF is');
}

function secure(place: Place): Verdict {
  if (!isOn(place.value)) return imported;
  if (place.draft.board !== 'q35') return unsupported('Secure Boot needs machine: q35');
  place.setMachine('secureBoot', true);
  return changed('the variables begin with the keys of Microsoft and of Debian’s OVMF');
}

/** `enrolled-keys` goes without saying. */
const feature = (place: Place): Verdict =>
  attributeOf(place.element, 'name') === 'secure-boot' ? secure(place) : imported;

/** Blocks of SMBIOS, name of libvirt with ours. */
const smbiosKeys: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  bios: { vendor: 'vendor', version: 'version', date: 'date', release: 'release' },
  system: {
    manufacturer: 'manufacturer',
    product: 'product',
    version: 'version',
    serial: 'serial',
    sku: 'sku',
    family: 'family',
  },
  baseBoard: {
    manufacturer: 'manufacturer',
    product: 'product',
    version: 'version',
    serial: 'serial',
    asset: 'asset',
    location: 'location',
  },
  chassis: { manufacturer: 'manufacturer', version: 'version', serial: 'serial', asset: 'asset', sku: 'sku' },
};

function smbiosEntry(block: string) {
  return (place: Place): Verdict => {
    const name = attributeOf(place.element, 'name') ?? '';
    if (block === 'system' && name === 'uuid')
      return place.value.toLowerCase() === place.draft.text('uuid').toLowerCase()
        ? imported
        : changed('the guest sees the uuid of the machine');
    const key = smbiosKeys[block]?.[name];
    return key === undefined ? unsupported(noKey) : place.setMachine(`smbios.${block}.${key}`, place.value);
  };
}

/** Counts only where the guest is shown what is written. */
function sysinfo(place: Place): Verdict {
  const mode = attributeOf(childOf(place.draft.root, 'os', 'smbios'), 'mode');
  if (attributeOf(place.element, 'type') !== 'smbios') return whole(unsupported('no fw_cfg entries'));
  return mode === 'sysinfo'
    ? imported
    : whole(changed('not shown to the guest, as under libvirt without <smbios mode="sysinfo"/>'));
}

/** The file of its UEFI variables, where that is raw and named. */
export function variablesOf(root: XmlElement): string | undefined {
  const nvram = childOf(root, 'os', 'nvram');
  const path = attributeOf(childOf(nvram, 'source'), 'file') ?? textOf(nvram);
  const raw = (attributeOf(nvram, 'format') ?? 'raw') === 'raw';
  return raw && path.startsWith('/') ? path : undefined;
}

export const rulesOfBooting: Rules = {
  os: firmware,
  'os@firmware': (place) => (place.value === 'efi' || place.value === 'bios' ? imported : unsupported(noKey)),
  'os/type#': imported,
  'os/type@arch': architecture,
  'os/type@machine': machineType,
  'os/loader#': loader,
  'os/loader@type': imported,
  'os/loader@readonly': (place) =>
    isOn(place.value) ? imported : changed('the firmware itself is never writable; its variables are'),
  'os/loader@secure': secure,
  'os/loader@stateless': (place) =>
    isOn(place.value) ? changed('UEFI has a store for its variables here') : imported,
  'os/loader@format': imported,
  'os/firmware/feature@name': imported,
  'os/firmware/feature@enabled': feature,
  'os/nvram': (place) =>
    changed(
      variablesOf(place.draft.root) === undefined
        ? 'UEFI begins with empty variables: only raw files of them are taken'
        : 'its UEFI variables are no part of a definition: --define takes them from that file, where it is there',
    ),
  'os/nvram#': imported,
  'os/nvram@template': changed('the variable store begins as the host’s OVMF has it'),
  'os/nvram@templateFormat': imported,
  'os/nvram@format': imported,
  'os/nvram@type': imported,
  'os/nvram/source/**': imported,
  'os/kernel#': path('boot.kernel'),
  'os/initrd#': path('boot.initrd'),
  'os/cmdline#': (place) => place.setMachine('boot.cmdline', place.value.replaceAll(/\s+/g, ' ')),
  'os/dtb#': unsupported('PCs have no device tree'),
  'os/shim#': unsupported(noKey),
  'os/acpi/table/**': unsupported('no ACPI tables of your own'),
  'os/acpi/table': unsupported('no ACPI tables of your own'),
  'os/acpi/table#': imported,
  'os/acpi/table@type': imported,
  'os/boot@dev': bootDevice,
  'os/bootmenu@enable': (place) => place.setMachine('boot.menu', isOn(place.value)),
  'os/bootmenu@timeout': changed('the menu waits as long as the firmware has it'),
  'os/smbios@mode': (place) =>
    place.value === 'host' ? unsupported('the guest is not shown who made the host') : imported,
  'os/bios@useserial': (place) =>
    isOn(place.value) ? changed('SeaBIOS writes to the graphics card, not to the serial port') : imported,
  'os/bios@rebootTimeout': changed('a machine that cannot boot waits'),
  'os/init#': unsupported('for containers only'),
  sysinfo,
  'sysinfo@type': imported,
  'sysinfo/bios/entry@name': imported,
  'sysinfo/bios/entry#': smbiosEntry('bios'),
  'sysinfo/system/entry@name': imported,
  'sysinfo/system/entry#': smbiosEntry('system'),
  'sysinfo/baseBoard/entry@name': imported,
  'sysinfo/baseBoard/entry#': smbiosEntry('baseBoard'),
  'sysinfo/chassis/entry@name': imported,
  'sysinfo/chassis/entry#': smbiosEntry('chassis'),
  'sysinfo/oemStrings/entry#': (place) => place.append('smbios.oemStrings', place.value),
};
