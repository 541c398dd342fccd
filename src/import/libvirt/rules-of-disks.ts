/** Disks and CD-ROM drives. */
import { isHostPath } from '../host-path.ts';
import type { Plain } from '../../definition/key-path.ts';
import { changed, imported, unsupported, whole, type Verdict } from '../verdict.ts';
import { attributeOf, childOf, type XmlElement } from '../xml/xml-node.ts';
import { addressesAreChosen, alias, liveState, noKey, tuning, wholeNotYet } from './phrases.ts';
import { isOn, wholeNumberOf } from './quantities.ts';
import type { Outcome, Place, Rules } from './rule-table.ts';

const buses = ['virtio', 'scsi', 'sata', 'ide', 'usb'];
const busOfDevice: Readonly<Record<string, string>> = {
  vd: 'virtio',
  sd: 'scsi',
  hd: 'ide',
  fd: 'fdc',
  xv: 'xen',
};

function busOf(disk: XmlElement): string {
  const target = childOf(disk, 'target');
  return attributeOf(target, 'bus') ?? busOfDevice[(attributeOf(target, 'dev') ?? '').slice(0, 2)] ?? '';
}

/** libvirt takes raw where no format is said. */
const formatOf = (type: string | undefined): string => (type === undefined || type === 'aio' ? 'raw' : type);

const pathOf = (element: XmlElement): string | undefined => {
  const source = childOf(element, 'source');
  return attributeOf(source, 'file') ?? attributeOf(source, 'dev');
};

/** Why the whole disk cannot be taken. */
function refusal(disk: XmlElement): string | undefined {
  const [type, device] = [attributeOf(disk, 'type') ?? 'file', attributeOf(disk, 'device') ?? 'disk'];
  const protocol = attributeOf(childOf(disk, 'source'), 'protocol');
  if (device === 'floppy') return 'there are no floppy drives';
  if (type === 'network')
    return `no disks over the network (${protocol ?? 'no protocol'}); attach it on the host as a block device`;
  if (type === 'volume') return 'a volume of a storage pool: give its path instead, virsh vol-path says it';
  if (type !== 'file' && type !== 'block') return `no disks of type ${type}`;
  if (['fdc', 'sd', 'xen', 'uml', ''].includes(busOf(disk))) return `no disks on the bus "${busOf(disk)}"`;
  const path = pathOf(disk);
  if (device === 'cdrom')
    return path === undefined || isHostPath(path) ? undefined : `no absolute path: ${path}`;
  if (childOf(disk, 'source', 'encryption') ?? childOf(disk, 'encryption'))
    return 'no encrypted images; decrypt it on the host, or in the guest';
  if (path === undefined) return 'a disk without an image';
  if (!isHostPath(path)) return `an absolute path without ".", ".." and empty parts is needed`;
  const format = formatOf(attributeOf(childOf(disk, 'driver'), 'type'));
  if (format !== 'raw' && format !== 'qcow2')
    return `no images of the format ${format}; qward disk import makes a qcow2 of it`;
  return undefined;
}

/** The chain below an image, nearest first; undefined where a part of it cannot be taken. */
function backingOf(element: XmlElement): Plain[] | undefined {
  const chain: Plain[] = [];
  for (
    let below = childOf(element, 'backingStore');
    below !== undefined;
    below = childOf(below, 'backingStore')
  ) {
    const format = attributeOf(childOf(below, 'format'), 'type');
    if (attributeOf(below, 'type') === undefined && format === undefined) break;
    const path = pathOf(below);
    if (path === undefined || !isHostPath(path) || (format !== 'raw' && format !== 'qcow2')) return undefined;
    chain.push({ path, format });
  }
  return chain;
}

function disk(place: Place): Outcome {
  const { element, draft } = place;
  const reason = refusal(element);
  if (reason !== undefined) return wholeNotYet(reason);
  const id = draft.idOf(element, attributeOf(childOf(element, 'target'), 'dev') ?? 'disk');
  const order = wholeNumberOf(attributeOf(childOf(element, 'boot'), 'order') ?? '');
  if (order !== undefined) draft.bootOrder.push({ order, id });
  const path = pathOf(element);
  if (attributeOf(element, 'device') === 'cdrom') {
    const part = draft.begin('cdroms', element, { id, ...(path === undefined ? {} : { path }) });
    return { ...imported, part };
  }
  const backing = backingOf(element);
  if (backing === undefined)
    return wholeNotYet(
      'its backing chain has an image that cannot be taken; flatten it, or convert the images',
    );
  const format = formatOf(attributeOf(childOf(element, 'driver'), 'type'));
  const part = draft.begin('disks', element, { id, path: path ?? '', format });
  // Without the element libvirt reads the header of the image; with an empty one the chain ends.
  if (backing.length > 0) {
    draft.set(part, 'backing', backing, element);
  }
  if (attributeOf(element, 'device') === 'lun') draft.set(part, 'rawio', true, element);
  return { ...imported, part };
}

/** The bus that the guest sees; where the board has not got it, the nearest. */
function bus(place: Place): Verdict {
  const { value, draft, part, element } = place;
  const readonly = childOf(element.parent, 'readonly') !== undefined;
  if (part.list === 'cdroms') {
    const own = draft.board === 'q35' && value === 'ide' ? 'sata' : value;
    if (!buses.includes(own) || own === 'virtio') return changed('a CD-ROM drive on the board’s own bus');
    const usual = draft.board === 'pc' ? 'ide' : 'sata';
    const verdict = own === usual ? imported : place.set('bus', own);
    return own === value ? verdict : changed('q35 has no IDE: the drive is on SATA');
  }
  if (!buses.includes(value)) return unsupported(`no disks on the bus "${value}"`);
  if (value === 'ide' && draft.board === 'q35') {
    place.set('bus', 'sata');
    return changed('q35 has no IDE: the disk is on SATA');
  }
  if (readonly && (value === 'ide' || value === 'sata')) {
    place.set('bus', 'scsi');
    return changed(`QEMU has no read-only disks on ${value}: it is on SCSI`);
  }
  return place.set('bus', value);
}

/** Without the attribute it follows from the name. */
function target(place: Place): Verdict {
  const { element } = place;
  if (attributeOf(element, 'bus') !== undefined) return imported;
  return bus({ ...place, value: busOf(element.parent ?? element) });
}

const cacheModes: Readonly<Record<string, readonly [mode: string, note?: string]>> = {
  default: ['writeback'],
  none: ['none'],
  writeback: ['writeback'],
  writethrough: ['writethrough'],
  unsafe: ['unsafe'],
  directsync: ['none', 'cache directsync: writes wait for the disk where the guest flushes, not at each'],
};

function cache(place: Place): Verdict {
  if (place.part.list === 'cdroms') return changed('a CD-ROM drive is only read');
  const [mode, note] = cacheModes[place.value] ?? [];
  if (mode === undefined) return unsupported(noKey);
  const verdict = place.set('cache', mode);
  return note === undefined ? verdict : changed(note);
}

/** A key that disks have and CD-ROM drives do not need. */
function diskKey(key: string, value: (text: string) => Plain | undefined) {
  return (place: Place): Verdict => {
    const own = value(place.value);
    if (own === undefined) return unsupported(`"${place.value.slice(0, 40)}" is no value of disks[].${key}`);
    return place.part.list === 'cdroms' && !place.draft.has('cdroms', key)
      ? changed('a CD-ROM drive is only read')
      : place.set(key, own);
  };
}

const text = (value: string): Plain => value;
const number = (value: string): Plain | undefined => wholeNumberOf(value);
const choice =
  (...words: readonly string[]) =>
  (value: string): Plain | undefined =>
    words.includes(value) ? value : undefined;

function io(place: Place): Verdict {
  if (place.value === 'threads') return imported;
  if (place.value === 'io_uring') return changed('the jail has no io_uring: QEMU’s threads do the I/O');
  return place.part.list === 'cdroms'
    ? changed('a CD-ROM drive is only read')
    : place.set('aio', place.value);
}

function limit(key: string) {
  return (place: Place): Verdict => {
    const count = wholeNumberOf(place.value);
    // 0 is no limit.
    if (count === 0) return imported;
    return count === undefined ? unsupported('no number') : place.set(`limits.${key}`, count);
  };
}

/** A limit in the words of libvirt: `total_bytes_sec_max`. */
const limitKeys: Readonly<Record<string, string>> = {
  total_bytes_sec: 'bps',
  read_bytes_sec: 'readBps',
  write_bytes_sec: 'writeBps',
  total_iops_sec: 'iops',
  read_iops_sec: 'readIops',
  write_iops_sec: 'writeIops',
  total_bytes_sec_max: 'burst.bps',
  read_bytes_sec_max: 'burst.readBps',
  write_bytes_sec_max: 'burst.writeBps',
  total_iops_sec_max: 'burst.iops',
  read_iops_sec_max: 'burst.readIops',
  write_iops_sec_max: 'burst.writeIops',
  total_bytes_sec_max_length: 'burstSeconds.bps',
  read_bytes_sec_max_length: 'burstSeconds.readBps',
  write_bytes_sec_max_length: 'burstSeconds.writeBps',
  total_iops_sec_max_length: 'burstSeconds.iops',
  read_iops_sec_max_length: 'burstSeconds.readIops',
  write_iops_sec_max_length: 'burstSeconds.writeIops',
  size_iops_sec: 'iopsSize',
};

function limitGroup(place: Place): Verdict {
  const id = place.value
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^[^a-z]+|-+$/g, '');
  const verdict = place.set('limits.group', id.slice(0, 31));
  return verdict.is !== 'imported' || id === place.value
    ? verdict
    : changed(`the group is called "${id}" here`);
}

const errors: Readonly<Record<string, string>> = {
  stop: 'stop',
  report: 'report',
  ignore: 'ignore',
  enospace: 'enospc',
};

function errorPolicy(key: 'read' | 'write') {
  return (place: Place): Verdict => {
    const own = errors[place.value];
    if (own === undefined) return unsupported(noKey);
    if (place.part.list === 'cdroms') return changed('a CD-ROM drive is only read');
    // enospace is only for writes: reads are reported then.
    if (key === 'write' && attributeOf(place.element, 'rerror_policy') === undefined)
      place.set('errors.read', own === 'enospc' ? 'report' : own);
    return own === 'enospc' && key === 'read'
      ? place.set('errors.read', 'report')
      : place.set(`errors.${key}`, own);
  };
}

function address(place: Place): Verdict {
  const { element, draft, part } = place;
  const controller = wholeNumberOf(attributeOf(element, 'controller') ?? '');
  const several = draft.controllers('scsi').length > 1;
  if (several && part.list === 'disks' && part.values['bus'] === 'scsi' && controller !== undefined)
    draft.set(part, 'controller', controller, element);
  return whole(addressesAreChosen);
}

function readonlyDisk(place: Place): Verdict {
  return place.part.list === 'cdroms' ? imported : place.set('readonly', true);
}

/** What nobody writes, several machines read anyway. */
function shareable(place: Place): Verdict {
  const read = place.part.list === 'cdroms' || childOf(place.element.parent, 'readonly') !== undefined;
  return read ? imported : place.set('shared', true);
}

export const rulesOfDisks: Rules = {
  'devices/disk': disk,
  'devices/disk@type': imported,
  'devices/disk@device': imported,
  'devices/disk@model': (place) =>
    place.value === 'virtio' ? imported : changed('virtio devices: on q35 the new kind alone, on pc both'),
  'devices/disk@snapshot': changed('which disks a snapshot has is said when it is made'),
  'devices/disk@rawio': (place) => (isOn(place.value) ? place.set('rawio', true) : imported),
  'devices/disk@sgio': (place) =>
    place.value === 'unfiltered'
      ? unsupported('commands of the guest stay filtered, but for rawio')
      : imported,
  'devices/disk/driver@name': (place) =>
    place.value === 'qemu' || place.value === 'file' ? imported : changed('QEMU is the driver'),
  'devices/disk/driver@type': imported,
  'devices/disk/driver@cache': cache,
  'devices/disk/driver@io': io,
  'devices/disk/driver@discard': diskKey('discard', choice('unmap', 'ignore')),
  'devices/disk/driver@discard_no_unref': tuning,
  'devices/disk/driver@detect_zeroes': diskKey('detectZeroes', choice('off', 'on', 'unmap')),
  'devices/disk/driver@error_policy': errorPolicy('write'),
  'devices/disk/driver@rerror_policy': errorPolicy('read'),
  'devices/disk/driver@copy_on_read': diskKey('copyOnRead', (value) => isOn(value)),
  'devices/disk/driver@iothread': diskKey('iothread', number),
  'devices/disk/driver/iothreads/**': unsupported('one I/O thread for each disk'),
  'devices/disk/driver@queues': diskKey('queues', number),
  'devices/disk/driver@queue_size': diskKey('queueSize', number),
  'devices/disk/driver@ioeventfd': tuning,
  'devices/disk/driver@event_idx': tuning,
  'devices/disk/driver@packed': tuning,
  'devices/disk/driver@page_per_vq': tuning,
  'devices/disk/driver@iommu': tuning,
  'devices/disk/driver@ats': tuning,
  'devices/disk/driver@max_bios': tuning,
  'devices/disk/driver/metadata_cache/**': tuning,
  'devices/disk/source@file': imported,
  'devices/disk/source@dev': imported,
  'devices/disk/source@index': liveState,
  'devices/disk/source@startupPolicy': (place) =>
    place.value === 'mandatory' ? imported : changed('a machine whose image is missing is not started'),
  'devices/disk/source@fdgroup': changed('descriptors of images are opened by qward'),
  'devices/disk/source/seclabel/**': changed('labels of images are not changed'),
  'devices/disk/source/seclabel': changed('labels of images are not changed'),
  'devices/disk/source/privateData/**': liveState,
  'devices/disk/source/slices/**': unsupported('an image is used from its beginning to its end'),
  'devices/disk/source/reservations/**': unsupported('no persistent reservations'),
  'devices/disk/backingStore@type': imported,
  'devices/disk/backingStore@index': liveState,
  'devices/disk/backingStore/**': imported,
  'devices/disk/mirror/**': liveState,
  'devices/disk/target': target,
  'devices/disk/target@dev': imported,
  'devices/disk/target@bus': bus,
  'devices/disk/target@tray': changed('the tray is closed when the machine starts'),
  'devices/disk/target@removable': diskKey('removable', (value) => isOn(value)),
  'devices/disk/target@rotation_rate': diskKey('rotationRate', number),
  'devices/disk/readonly': readonlyDisk,
  'devices/disk/shareable': shareable,
  'devices/disk/transient/**': unsupported('what the guest writes is kept: give it an overlay to throw away'),
  'devices/disk/serial#': diskKey('serial', text),
  'devices/disk/wwn#': diskKey('wwn', (value) => value.toLowerCase().replace(/^0x/, '')),
  'devices/disk/vendor#': diskKey('vendor', text),
  'devices/disk/product#': diskKey('product', text),
  'devices/disk/boot@order': imported,
  'devices/disk/boot@loadparm': unsupported('for s390 only'),
  'devices/disk/blockio@logical_block_size': diskKey('blockSize.logical', number),
  'devices/disk/blockio@physical_block_size': diskKey('blockSize.physical', number),
  'devices/disk/blockio@discard_granularity': diskKey('discardGranularity', number),
  'devices/disk/geometry/**': changed(
    'the geometry of the disk is QEMU’s guess; only systems of before 2000 ask for it',
  ),
  'devices/disk/iotune/group_name#': limitGroup,
  ...Object.fromEntries(
    Object.entries(limitKeys).map(([name, key]) => [`devices/disk/iotune/${name}#`, limit(key)]),
  ),
  'devices/disk/auth/**': unsupported('no secrets of libvirt'),
  'devices/disk/encryption/**': unsupported('no secrets of libvirt'),
  'devices/disk/alias@name': alias,
  'devices/disk/acpi/**': addressesAreChosen,
  'devices/disk/address': address,
};
