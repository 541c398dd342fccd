/** Devices of the host that a machine has to itself. */
import { hostUsb, noLastingUsb } from '../host-usb.ts';
import { changed, imported, unsupported, whole, type Verdict } from '../verdict.ts';
import { attributeOf, childOf, type XmlElement } from '../xml/xml-node.ts';
import { alias, addressesAreChosen, wholeNotYet } from './phrases.ts';
import { isOn } from './quantities.ts';
import type { Outcome, Place, Rules } from './rule-table.ts';

/** `0000:65:00.0` of an `<address>` of the host; numbers are hexadecimal or decimal, as C has them. */
function hostAddress(address: XmlElement | undefined): string | undefined {
  const part = (name: string, digits: number): string | undefined => {
    const text = attributeOf(address, name) ?? (name === 'domain' || name === 'function' ? '0' : '');
    const number = /^(?:0x[0-9a-f]{1,4}|\d{1,5})$/i.test(text) ? Number(text) : Number.NaN;
    return Number.isNaN(number) ? undefined : number.toString(16).padStart(digits, '0');
  };
  const [domain, bus, slot, fn] = [part('domain', 4), part('bus', 2), part('slot', 2), part('function', 1)];
  if (domain === undefined || bus === undefined || slot === undefined || fn === undefined) return undefined;
  return `${domain}:${bus}:${slot}.${fn}`;
}

function usbHostdev({ element, draft }: Place): Outcome {
  const of = (name: string, attribute: string): string | undefined => {
    const child = childOf(element, 'source', name);
    return child === undefined ? undefined : attributeOf(child, attribute);
  };
  const usb = hostUsb({
    vendor: of('vendor', 'id'),
    product: of('product', 'id'),
    bus: of('address', 'bus'),
    port: of('address', 'port'),
  });
  if (usb === undefined) return whole(unsupported(noLastingUsb));
  const id = draft.idOf(element, `host${draft.items('hostDevices').length}`);
  return { ...imported, part: draft.begin('hostDevices', element, { id, usb }) };
}

/** Without the device a start is refused, where it is not optional; a machine that was saved or moved is one that starts. */
const startupPolicy = (place: Place): Verdict =>
  place.value === 'optional' ? place.set('optional', true) : imported;

function hostdev(place: Place): Outcome {
  const { element, draft } = place;
  const type = attributeOf(element, 'type') ?? '';
  if (type === 'usb') return usbHostdev(place);
  if (type !== 'pci')
    return wholeNotYet(`no ${type} device of the host for a machine`.replace('no  ', 'no '));
  const pci = hostAddress(childOf(element, 'source', 'address'));
  if (pci === undefined) return whole(unsupported('no address of a PCI device'));
  const id = draft.idOf(element, `host${draft.items('hostDevices').length}`);
  return { ...imported, part: draft.begin('hostDevices', element, { id, pci }) };
}

const managed = (place: Place): Verdict =>
  isOn(place.value)
    ? imported
    : changed(
        'the driver of the host gives the device to the machine and gets it back, as with managed="yes"',
      );

const oneDriver = (place: Place): Verdict =>
  place.value === 'vfio' ? imported : changed('the driver is vfio, which needs an IOMMU');

export const rulesOfHostDevices: Rules = {
  'devices/hostdev': hostdev,
  'devices/hostdev@mode': imported,
  'devices/hostdev@type': imported,
  'devices/hostdev@managed': managed,
  'devices/hostdev/source@startupPolicy': startupPolicy,
  'devices/hostdev/source@guestReset': changed('the guest resets the device as it likes'),
  'devices/hostdev/source/**': imported,
  'devices/hostdev/driver@name': oneDriver,
  'devices/hostdev/rom@bar': (place) => place.set('rom', isOn(place.value)),
  'devices/hostdev/rom@file': unsupported('the ROM is the device’s own; no file in its place'),
  'devices/hostdev/rom@enabled': (place) => place.set('rom', isOn(place.value)),
  'devices/hostdev/boot@order': changed(
    'the firmware may boot from it; boot.order names qward’s own devices',
  ),
  'devices/hostdev/alias@name': alias,
  'devices/hostdev/address': whole(addressesAreChosen),
  'devices/hostdev/acpi/**': addressesAreChosen,
};
