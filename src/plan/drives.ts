/** Disks and CD-ROM drives as the guest sees them. */
import type { DiskDefinition, MachineDefinition } from '../definition/schema.ts';
import { cdromNodes, diskNodes } from './block-nodes.ts';
import { boards, busProperties, virtioDevice, type Board } from './boards.ts';
import type { DescriptorTable } from './descriptor-table.ts';
import { cdromBus, Controllers, threadId, threadOptions } from './drive-controllers.ts';
import { FreeText, freeText, jsonOption, type JsonValue, type Option } from './options.ts';

type Device = Record<string, JsonValue | undefined>;
/** A full disk or a failed read stops the guest and keeps its data; it goes on when the cause is gone. */
const onError = ({ errors }: DiskDefinition): Device => ({ werror: errors.write, rerror: errors.read });

/** By it the guest finds the disk under /dev/disk/by-id. An id as serial number is cut to what all buses carry. */
const serialOf = ({ serial, id }: DiskDefinition): FreeText => new FreeText(serial ?? id.slice(0, 20));

/** What SCSI and ATA disks tell of themselves. */
function labels({ wwn, rotationRate }: DiskDefinition): Device {
  return { wwn: wwn === undefined ? undefined : BigInt(`0x${wwn}`), rotation_rate: rotationRate };
}

function diskDevice(board: Board, controllers: Controllers, disk: DiskDefinition): Device {
  switch (disk.bus) {
    case 'virtio':
      return {
        ...virtioDevice(board, 'blk', controllers.place()),
        ...onError(disk),
        'num-queues': disk.queues,
        'queue-size': disk.queueSize,
        iothread: threadId(disk.iothread),
      };
    case 'nvme':
      // The emulated NVMe has no error policy: it reports errors to the guest (QEMU 7.2).
      return { driver: 'nvme', ...busProperties(board, controllers.place()) };
    case 'scsi':
      // scsi-block hands the guest's commands to the device as they are, and says of it what it says of itself.
      if (disk.rawio)
        return {
          driver: 'scsi-block',
          ...controllers.plugScsi(disk.controller, disk.unit),
          ...onError(disk),
        };
      return {
        driver: 'scsi-hd',
        ...controllers.plugScsi(disk.controller, disk.unit),
        ...onError(disk),
        ...labels(disk),
        vendor: freeText(disk.vendor),
        product: freeText(disk.product),
        removable: disk.removable ? true : undefined,
      };
    case 'sata':
    case 'ide':
      return { driver: 'ide-hd', ...controllers.plug(disk.bus), ...onError(disk), ...labels(disk) };
    case 'usb':
      return {
        driver: 'usb-storage',
        ...controllers.plug('usb'),
        ...onError(disk),
        removable: disk.removable ? true : undefined,
      };
  }
}

/** Geometry that all drives have. */
function blockProperties({ blockSize, discardGranularity }: DiskDefinition): Device {
  return {
    logical_block_size: blockSize.logical,
    physical_block_size: blockSize.physical,
    discard_granularity: discardGranularity,
  };
}

export function driveOptions(
  definition: MachineDefinition,
  table: DescriptorTable,
  bootIndexes: ReadonlyMap<string, number>,
): readonly Option[] {
  const board = boards[definition.machine];
  const controllers = new Controllers(definition);
  const groups = new Set<string>();
  const disks = definition.disks.flatMap((disk) => {
    const nodes = diskNodes(table, disk, groups);
    const device = jsonOption('-device', {
      ...diskDevice(board, controllers, disk),
      id: disk.id,
      drive: nodes.top,
      // Of a device that answers itself nothing is made up.
      serial: disk.rawio ? undefined : serialOf(disk),
      bootindex: bootIndexes.get(disk.id),
      'share-rw': disk.shared ? true : undefined,
      'write-cache': disk.rawio ? undefined : disk.cache === 'writethrough' ? 'off' : 'on',
      ...(disk.rawio ? {} : blockProperties(disk)),
    });
    return [...nodes.options, device];
  });
  const cdroms = definition.cdroms.flatMap((cdrom) => {
    const bus = cdromBus(definition, cdrom);
    const nodes = cdrom.path === undefined ? null : cdromNodes(table, cdrom.id, cdrom.path);
    const device = jsonOption('-device', {
      ...(bus === 'scsi'
        ? { driver: 'scsi-cd', ...controllers.plugScsi(0) }
        : { driver: 'ide-cd', ...controllers.plug(bus) }),
      id: cdrom.id,
      drive: nodes?.top,
      serial: freeText(cdrom.serial),
      bootindex: bootIndexes.get(cdrom.id),
    });
    return [...(nodes?.options ?? []), device];
  });
  return [...threadOptions(definition), ...controllers.options(), ...disks, ...cdroms];
}
