/** Disks as the guest sees them: what each bus can, limits, threads and places. */
import type { Draft, Placed } from './draft.ts';
import type { KeyPath } from './key-path.ts';
import { broken, type Broken } from './rule.ts';
import type { DiskDefinition } from './schema.ts';

type Bus = DiskDefinition['bus'];

/** The keys that only some buses have, and whether a disk sets them. */
const keysOfBuses: readonly {
  readonly key: string;
  readonly buses: readonly Bus[];
  readonly isSet: (disk: DiskDefinition) => boolean;
}[] = [
  { key: 'wwn', buses: ['scsi', 'sata', 'ide'], isSet: (disk) => disk.wwn !== undefined },
  { key: 'vendor', buses: ['scsi'], isSet: (disk) => disk.vendor !== undefined },
  { key: 'product', buses: ['scsi'], isSet: (disk) => disk.product !== undefined },
  { key: 'removable', buses: ['scsi', 'usb'], isSet: (disk) => disk.removable },
  { key: 'rotationRate', buses: ['scsi', 'sata', 'ide'], isSet: (disk) => disk.rotationRate !== undefined },
  { key: 'queues', buses: ['virtio'], isSet: (disk) => disk.queues !== undefined },
  { key: 'queueSize', buses: ['virtio'], isSet: (disk) => disk.queueSize !== undefined },
  { key: 'iothread', buses: ['virtio'], isSet: (disk) => disk.iothread !== undefined },
  { key: 'controller', buses: ['scsi'], isSet: (disk) => disk.controller !== 0 },
  { key: 'unit', buses: ['scsi'], isSet: (disk) => disk.unit !== undefined },
  {
    key: 'errors',
    buses: ['virtio', 'scsi', 'sata', 'ide', 'usb'],
    isSet: ({ errors }) => errors.read !== 'stop' || errors.write !== 'stop',
  },
];

export function busesHaveTheirKeys({ disks }: Draft): readonly Broken[] {
  return disks.flatMap(({ path, value }) =>
    keysOfBuses
      .filter(({ buses, isSet }) => !buses.includes(value.bus) && isSet(value))
      .map(({ key, buses }) =>
        broken(
          [...path, key],
          `a disk on ${value.bus} has no such thing`,
          key === 'iothread'
            ? 'Use bus: virtio, or bus: scsi with the thread of its controller in scsiControllers.'
            : `Remove it, or use bus: ${buses.join(' or ')}.`,
        ),
      ),
  );
}

/** Of ATA and NVMe, and what virtio-blk carries (QEMU 7.2); SCSI and USB have 36 (VPD page 0x80). */
const longestSerial: Readonly<Record<Bus, number>> = {
  virtio: 20,
  nvme: 20,
  sata: 20,
  ide: 20,
  scsi: 36,
  usb: 36,
};

function faultsOfDisk({ path, value: disk }: Placed<DiskDefinition>): readonly Broken[] {
  const faults: Broken[] = [];
  const add = (key: KeyPath, message: string, hint: string): void =>
    void faults.push(broken([...path, ...key], message, hint));
  const longest = longestSerial[disk.bus];
  if (disk.serial !== undefined && disk.serial.length > longest)
    add(
      ['serial'],
      `has ${disk.serial.length} characters, and ${disk.bus} carries ${longest}`,
      'Shorten it.',
    );
  const { logical = 512, physical = 512 } = disk.blockSize;
  if (logical !== 512 && (disk.bus === 'sata' || disk.bus === 'ide'))
    add(['blockSize', 'logical'], `${disk.bus} has blocks of 512 bytes`, 'Remove it, or use another bus.');
  if (physical < logical)
    add(['blockSize', 'physical'], 'is less than the logical size', 'Raise it, or lower blockSize.logical.');
  if (disk.aio === 'native' && disk.cache !== 'none')
    add(['aio'], `native needs cache: none, and cache is ${disk.cache}`, 'Use cache: none, or aio: threads.');
  if (disk.detectZeroes === 'unmap' && disk.discard !== 'unmap')
    add(['detectZeroes'], 'unmap needs discard: unmap', 'Use detectZeroes: on, or discard: unmap.');
  if (disk.copyOnRead && disk.readonly)
    add(['copyOnRead'], 'writes into the image, and the disk is readonly', 'Remove one of the two.');
  return faults;
}

export function disksFitTheirBus({ disks }: Draft): readonly Broken[] {
  return disks.flatMap(faultsOfDisk);
}

const totals = ['iops', 'bps'] as const;
const partsOf = { iops: ['readIops', 'writeIops'], bps: ['readBps', 'writeBps'] } as const;
const limitKeys = ['iops', 'bps', 'readIops', 'writeIops', 'readBps', 'writeBps'] as const;

/** What QEMU 7.2 demands of the limits of a throttle group (util/throttle.c). */
function faultsOfLimits({ path, value }: Placed<DiskDefinition>): readonly Broken[] {
  const { limits } = value;
  if (limits === undefined) return [];
  const at = (...key: KeyPath): KeyPath => [...path, 'limits', ...key];
  const mixed = totals.flatMap((total) =>
    partsOf[total]
      .filter((part) => limits[part] !== undefined && limits[total] !== undefined)
      .map((part) =>
        broken(at(part), `cannot stand beside ${total}, which counts both`, `Remove ${part} or ${total}.`),
      ),
  );
  const alone = limitKeys.flatMap((key) => [
    ...(limits.burst[key] !== undefined && limits[key] === undefined
      ? [broken(at('burst', key), `needs limits.${key}, which is not set`, `Set limits.${key}.`)]
      : []),
    ...(limits.burst[key] !== undefined && (limits[key] ?? 0) > limits.burst[key]
      ? [broken(at('burst', key), `is less than limits.${key}`, 'Raise it, or leave it out.')]
      : []),
    ...(limits.burstSeconds[key] !== undefined && limits.burst[key] === undefined
      ? [
          broken(
            at('burstSeconds', key),
            `needs limits.burst.${key}, which is not set`,
            `Set limits.burst.${key}.`,
          ),
        ]
      : []),
  ]);
  return [...mixed, ...alone];
}

export function limitsAreWhole({ disks }: Draft): readonly Broken[] {
  const groups = new Map<string, { readonly id: string; readonly limits: string }>();
  return disks.flatMap((disk) => {
    const { path, value } = disk;
    const faults = faultsOfLimits(disk);
    const group = value.limits?.group;
    if (group === undefined) return faults;
    const limits = JSON.stringify(value.limits);
    const first = groups.get(group);
    if (first === undefined) groups.set(group, { id: value.id, limits });
    if (first === undefined || first.limits === limits) return faults;
    return [
      ...faults,
      broken(
        [...path, 'limits', 'group'],
        `the disk "${first.id}" of this group has other limits`,
        'Write the same limits at each disk of a group.',
      ),
    ];
  });
}

export function threadsExist({ disks, scsiControllers = [], iothreads }: Draft): readonly Broken[] {
  if (iothreads === undefined) return [];
  const named = [
    ...disks.map(({ path, value }) => ({ path: [...path, 'iothread'], iothread: value.iothread })),
    ...scsiControllers.map(({ iothread }, index) => ({
      path: ['scsiControllers', index, 'iothread'],
      iothread,
    })),
  ];
  return named.flatMap(({ path, iothread }) =>
    iothread === undefined || iothread <= iothreads
      ? []
      : [
          broken(
            path,
            `there is no thread ${iothread}: iothreads is ${iothreads}`,
            `Set iothreads: ${iothread} or more.`,
          ),
        ],
  );
}

export function scsiDisksHavePlaces({ disks, scsiControllers = [{}] }: Draft): readonly Broken[] {
  const taken = new Map<string, string>();
  return disks
    .filter(({ value }) => value.bus === 'scsi')
    .flatMap(({ path, value }) => {
      const { controller, unit, id } = value;
      if (controller >= scsiControllers.length)
        return [
          broken(
            [...path, 'controller'],
            `there is no controller ${controller}: they are counted from 0, and there are ${scsiControllers.length}`,
            'Add it to scsiControllers.',
          ),
        ];
      if (unit === undefined) return [];
      const place = `${controller}:${unit}`;
      const other = taken.get(place);
      taken.set(place, id);
      return other === undefined
        ? []
        : [
            broken(
              [...path, 'unit'],
              `is that of the disk "${other}" already`,
              'Use another, or leave it out.',
            ),
          ];
    });
}
