/** Controllers of buses, and ports: serial, console, channel. */
import { changed, imported, unsupported, whole, type Verdict } from '../verdict.ts';
import { attributeOf, childOf } from '../xml/xml-node.ts';
import { hostPaths, liveState, tuning, wholeNotYet } from './phrases.ts';
import { wholeNumberOf } from './quantities.ts';
import type { Outcome, Place, Rules } from './rule-table.ts';
import { common } from './rules-in-common.ts';

const ownBuses = 'the buses of the guest are laid out by qward';

const usbModels: Readonly<Record<string, string>> = {
  none: 'none',
  'qemu-xhci': 'xhci',
  'nec-xhci': 'xhci',
  'ich9-ehci1': 'ehci',
  ehci: 'ehci',
  'piix3-uhci': 'uhci',
  'piix4-uhci': 'uhci',
};

function usbController(place: Place): Outcome {
  const { element, draft } = place;
  const model = attributeOf(element, 'model');
  if (model === undefined)
    return changed('a USB controller is there where a device needs one; usb.model: uhci has it always');
  if (/^ich9-uhci[123]$/.test(model)) return imported;
  const first = draft
    .controllers('usb')
    .find((one) => attributeOf(one, 'model')?.startsWith('ich9-uhci') !== true);
  if (first !== element) return whole(changed('one USB controller has all that is plugged in'));
  const own = usbModels[model] ?? 'xhci';
  const verdict = draft.set(draft.machine, 'usb.model', own, element);
  if (verdict.is !== 'imported') return verdict;
  return usbModels[model] === undefined || model === 'piix4-uhci' || model === 'nec-xhci'
    ? changed(`the USB controller is ${own === 'xhci' ? 'QEMU’s xhci' : own}`)
    : verdict;
}

function scsiController(place: Place): Outcome {
  const { element, draft } = place;
  const model = attributeOf(element, 'model') ?? '';
  const part =
    draft.has('scsiControllers', '') || draft.has('', 'scsiControllers')
      ? draft.begin('scsiControllers', element, {})
      : draft.machine;
  const virtio = model === '' || model === 'auto' || model.startsWith('virtio-scsi');
  if (model.startsWith('virtio-') && model !== 'virtio-scsi')
    return { ...changed('virtio devices: on q35 the new kind alone, on pc both'), part };
  return virtio
    ? { ...imported, part }
    : { ...changed(`no ${model}: the controller is virtio-scsi, and the guest needs its driver`), part };
}

function controller(place: Place): Outcome {
  const type = attributeOf(place.element, 'type') ?? '';
  switch (type) {
    case 'usb':
      return usbController(place);
    case 'scsi':
      return scsiController(place);
    case 'pci':
      return whole(changed(ownBuses));
    case 'sata':
    case 'ide':
      return imported;
    case 'fdc':
      return whole(changed('there are no floppy drives'));
    case 'virtio-serial':
      return imported;
    case 'ccid':
      return wholeNotYet('no smart cards');
    default:
      return wholeNotYet(`no controller of type ${type}`);
  }
}

function controllerKey(key: string) {
  return (place: Place): Verdict =>
    place.part.list === 'scsiControllers' ? place.set(key, wholeNumberOf(place.value) ?? 0) : tuning;
}

/** Where the other end of a port is: nothing of it is taken, since consoles are reached through the manager. */
const portEnds: Readonly<Record<string, string | undefined>> = {
  pty: undefined,
  unix: undefined,
  null: undefined,
};
const consoleIsReached = 'reached by qward console, not by a path, port or terminal of the host';

function serial(place: Place): Outcome {
  const { element, draft } = place;
  const type = attributeOf(childOf(element, 'target'), 'type') ?? 'isa-serial';
  const isFirst = draft.devicesOf('serial')[0] === element;
  const other = (name: string): Outcome => {
    if (!draft.has('serials', 'id')) return wholeNotYet(name);
    const id = draft.idOf(element, `serial${draft.items('serials').length + 1}`);
    const kind = type.replace(/-serial$/, '');
    return { ...imported, part: draft.begin('serials', element, { id, type: kind }) };
  };
  if (!isFirst || (type !== 'isa-serial' && type !== 'system-serial'))
    return other('one serial port, of the ISA kind');
  draft.set(draft.machine, 'console', true, element);
  return imported;
}

const portType = (place: Place): Verdict => (place.value in portEnds ? imported : changed(consoleIsReached));

/** libvirt shows the first serial port a second time as a console. */
function consoleDevice(place: Place): Outcome {
  const { element, draft } = place;
  const type = attributeOf(childOf(element, 'target'), 'type') ?? 'serial';
  if (type === 'serial') {
    if (draft.devicesOf('console')[0] !== element) return wholeNotYet('one serial console');
    draft.set(draft.machine, 'console', true, element);
    return imported;
  }
  return wholeNotYet(`no console of type ${type}; the serial port is one`);
}

function channel(place: Place): Outcome {
  const { element, draft } = place;
  const target = childOf(element, 'target');
  const [type, name] = [attributeOf(element, 'type') ?? '', attributeOf(target, 'name') ?? ''];
  if (
    type === 'qemu-vdagent' &&
    attributeOf(childOf(childOf(element, 'source'), 'clipboard'), 'copypaste') === 'yes'
  ) {
    draft.set(draft.machine, 'clipboard', true, element);
    return imported;
  }
  if (type === 'spicevmc' || type === 'spiceport' || type === 'qemu-vdagent' || type === 'dbus')
    return whole(changed('nothing of SPICE: no clipboard and no resizing through the agent of the screen'));
  if (attributeOf(target, 'type') !== 'virtio') return wholeNotYet('no guestfwd channels');
  if (name === 'org.qemu.guest_agent.0') {
    draft.set(draft.machine, 'agent', true, element);
    return imported;
  }
  if (!draft.has('channels', 'name'))
    return wholeNotYet(`no channel "${name.slice(0, 60)}"; the guest agent has one`);
  const id = draft.idOf(element, name.replaceAll('.', '-') || 'channel');
  return { ...imported, part: draft.begin('channels', element, { id, name }) };
}

const ports = (device: string): Rules => ({
  [`devices/${device}@type`]: portType,
  [`devices/${device}@tty`]: liveState,
  [`devices/${device}/source/**`]: changed(consoleIsReached),
  [`devices/${device}/source`]: changed(consoleIsReached),
  [`devices/${device}/protocol/**`]: changed(consoleIsReached),
  [`devices/${device}/log/**`]: changed(
    'what a console shows is kept by qward: qward console shows it again',
  ),
  [`devices/${device}/target@type`]: imported,
  [`devices/${device}/target@port`]: imported,
  [`devices/${device}/target/model@name`]: imported,
});

export const rulesOfPorts: Rules = {
  'devices/controller': controller,
  'devices/controller@type': imported,
  'devices/controller@index': imported,
  'devices/controller@model': imported,
  'devices/controller@ports': (place) =>
    attributeOf(place.element, 'type') === 'usb'
      ? place.setMachine('usb.ports', wholeNumberOf(place.value) ?? 0)
      : tuning,
  'devices/controller@vectors': tuning,
  'devices/controller@maxGrantFrames': unsupported('for Xen only'),
  'devices/controller/driver@queues': controllerKey('queues'),
  'devices/controller/driver@iothread': controllerKey('iothread'),
  'devices/controller/driver@cmd_per_lun': controllerKey('commandsPerLun'),
  'devices/controller/driver@max_sectors': controllerKey('maxSectors'),
  'devices/controller/driver@ioeventfd': tuning,
  'devices/controller/driver@iommu': tuning,
  'devices/controller/driver@ats': tuning,
  'devices/controller/driver@packed': tuning,
  'devices/controller/driver@page_per_vq': tuning,
  'devices/controller/master@startport': imported,
  ...common('controller'),
  'devices/serial': serial,
  ...ports('serial'),
  ...common('serial'),
  'devices/console': consoleDevice,
  ...ports('console'),
  ...common('console'),
  'devices/parallel': wholeNotYet('no parallel ports'),
  'devices/channel': channel,
  'devices/channel@type': portType,
  'devices/channel/source/**': hostPaths,
  'devices/channel/source': hostPaths,
  'devices/channel/protocol/**': hostPaths,
  'devices/channel/log/**': hostPaths,
  'devices/channel/target@type': imported,
  'devices/channel/target@name': imported,
  'devices/channel/target@state': liveState,
  ...common('channel'),
};
