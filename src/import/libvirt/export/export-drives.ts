/** Disks, CD-ROM drives and their controllers as libvirt has them. */
import { element, textElement, type XmlTree } from '../../xml/write-xml.ts';
import type { Values } from './definition-values.ts';

const prefixes: Readonly<Record<string, string>> = { virtio: 'vd', ide: 'hd' };

/** Names of targets: `vda`, `sdb`, `hdc`, each once. */
export class TargetNames {
  readonly #used = new Map<string, number>();

  next(bus: string): string {
    const prefix = prefixes[bus] ?? 'sd';
    let index = this.#used.get(prefix) ?? 0;
    this.#used.set(prefix, index + 1);
    let letters = '';
    do {
      letters = String.fromCodePoint(97 + (index % 26)) + letters;
      index = Math.floor(index / 26) - 1;
    } while (index >= 0);
    return `${prefix}${letters}`;
  }
}

const typeOf = (path: string): 'block' | 'file' => (path.startsWith('/dev/') ? 'block' : 'file');

function source(path: string | undefined): XmlTree | undefined {
  if (path === undefined) return undefined;
  return element('source', typeOf(path) === 'block' ? { dev: path } : { file: path });
}

function backing(images: readonly Values[]): XmlTree {
  const [image, ...rest] = images;
  if (image === undefined) return element('backingStore');
  const path = image.text('path') ?? '';
  return element(
    'backingStore',
    { type: typeOf(path) },
    element('format', { type: image.text('format') }),
    source(path),
    backing(rest),
  );
}

const errors: Readonly<Record<string, string>> = {
  stop: 'stop',
  report: 'report',
  ignore: 'ignore',
  enospc: 'enospace',
};

/** libvirt's schema names of limits by ours. */
const limitNames: readonly (readonly [key: string, name: string])[] = [
  ['bps', 'total_bytes_sec'],
  ['readBps', 'read_bytes_sec'],
  ['writeBps', 'write_bytes_sec'],
  ['iops', 'total_iops_sec'],
  ['readIops', 'read_iops_sec'],
  ['writeIops', 'write_iops_sec'],
];

function limits(disk: Values): XmlTree | undefined {
  const group = disk.group('limits');
  if (group === undefined) return undefined;
  const entries = limitNames.flatMap(([key, name]) => {
    const size = key.toLowerCase().endsWith('bps');
    const value = size ? group.bytes(key) : group.number(key);
    const burst = size ? group.bytes(`burst.${key}`) : group.number(`burst.${key}`);
    const seconds = group.number(`burstSeconds.${key}`);
    return [
      value === undefined ? undefined : textElement(name, value),
      burst === undefined ? undefined : textElement(`${name}_max`, burst),
      seconds === undefined ? undefined : textElement(`${name}_max_length`, seconds),
    ];
  });
  const size = group.number('iopsSize');
  const name = group.text('group');
  const all = [
    ...entries,
    size === undefined ? undefined : textElement('size_iops_sec', size),
    name === undefined ? undefined : textElement('group_name', name),
  ].filter((one) => one !== undefined);
  return all.length === 0 ? undefined : element('iotune', {}, ...all);
}

/** What libvirt's schema takes as a serial number. */
const schemaText = (serial: string | undefined): string | undefined =>
  serial !== undefined && /^[A-Za-z0-9_.+ -]+$/.test(serial) ? serial : undefined;

const optionalText = (name: string, value: string | undefined): XmlTree | undefined =>
  value === undefined ? undefined : textElement(name, value);

const bootElement = (order: number | undefined): XmlTree | undefined =>
  order === undefined ? undefined : element('boot', { order });

function driver(disk: Values): XmlTree {
  const cache = disk.text('cache');
  const write = disk.text('errors.write');
  const read = disk.text('errors.read');
  const zeroes = disk.text('detectZeroes');
  return element('driver', {
    name: 'qemu',
    type: disk.text('format'),
    cache: cache === 'writeback' ? undefined : cache,
    error_policy: write === undefined || write === 'stop' ? undefined : errors[write],
    rerror_policy: read === undefined || read === 'stop' ? undefined : errors[read],
    io: disk.text('aio') === 'native' ? 'native' : undefined,
    discard: disk.text('discard'),
    detect_zeroes: zeroes === 'off' ? undefined : zeroes,
    copy_on_read: disk.is('copyOnRead') ? 'on' : undefined,
    iothread: disk.number('iothread'),
    queues: disk.number('queues'),
    queue_size: disk.number('queueSize'),
  });
}

function blockio(disk: Values): XmlTree | undefined {
  const attributes = {
    logical_block_size: disk.bytes('blockSize.logical'),
    physical_block_size: disk.bytes('blockSize.physical'),
  };
  return Object.values(attributes).every((one) => one === undefined)
    ? undefined
    : element('blockio', attributes);
}

/**
 * libvirt 9.0 has no disks on NVMe: they are written as virtio, and the key of our own says what they are. Nor has it a
 * granularity of discards.
 */
export function exportDisk(disk: Values, names: TargetNames, order: number | undefined): XmlTree {
  const path = disk.text('path') ?? '';
  const own = disk.text('bus') ?? 'virtio';
  const bus = own === 'nvme' ? 'virtio' : own;
  const lun = disk.is('rawio') && (bus === 'scsi' || bus === 'virtio');
  return element(
    'disk',
    { type: typeOf(path), device: lun ? 'lun' : 'disk', rawio: lun ? 'yes' : undefined },
    driver(disk),
    source(path),
    disk.text('format') === 'qcow2' ? backing(disk.items('backing')) : undefined,
    element('target', {
      dev: names.next(bus),
      bus,
      removable: disk.is('removable') && bus === 'usb' ? 'on' : undefined,
      rotation_rate: disk.number('rotationRate'),
    }),
    limits(disk),
    disk.is('readonly') ? element('readonly') : undefined,
    disk.is('shared') ? element('shareable') : undefined,
    bootElement(order),
    blockio(disk),
    optionalText('serial', schemaText(disk.text('serial'))),
    bus === 'ide' || bus === 'scsi' ? optionalText('wwn', disk.text('wwn')) : undefined,
    optionalText('vendor', disk.text('vendor')),
    optionalText('product', disk.text('product')),
    element('alias', { name: `ua-${disk.text('id') ?? ''}` }),
  );
}

export function exportCdrom(
  cdrom: Values,
  board: string,
  names: TargetNames,
  order: number | undefined,
): XmlTree {
  const own = cdrom.text('bus') ?? 'auto';
  const bus = own === 'auto' ? (board === 'pc' ? 'ide' : 'sata') : own;
  const path = cdrom.text('path');
  return element(
    'disk',
    { type: path === undefined ? 'file' : typeOf(path), device: 'cdrom' },
    element('driver', { name: 'qemu', type: 'raw' }),
    source(path),
    element('target', { dev: names.next(bus), bus }),
    element('readonly'),
    bootElement(order),
    optionalText('serial', schemaText(cdrom.text('serial'))),
    element('alias', { name: `ua-${cdrom.text('id') ?? ''}` }),
  );
}

export function exportScsiControllers(values: Values): readonly XmlTree[] {
  const disks = values.items('disks').some((disk) => disk.text('bus') === 'scsi');
  const own = values.items('scsiControllers');
  if (own.length === 0)
    return disks ? [element('controller', { type: 'scsi', index: 0, model: 'virtio-scsi' })] : [];
  return own.map((one, index) => {
    const attributes = {
      queues: one.number('queues'),
      iothread: one.number('iothread'),
      cmd_per_lun: one.number('commandsPerLun'),
      max_sectors: one.number('maxSectors'),
    };
    const bare = Object.values(attributes).every((value) => value === undefined);
    return element(
      'controller',
      { type: 'scsi', index, model: 'virtio-scsi' },
      bare ? undefined : element('driver', attributes),
    );
  });
}
