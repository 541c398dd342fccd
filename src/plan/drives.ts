/** Disks and CD-ROM drives as the guest sees them. */
import type { DiskDefinition, MachineDefinition } from '../definition/schema.ts';
import { cdromNodes, diskNodes } from './block-nodes.ts';
import { boards, busProperties, virtioDevice, type Board, type Place } from './boards.ts';
import type { DescriptorTable } from './descriptor-table.ts';
import { jsonOption, type JsonValue, type Option } from './options.ts';

type Device = Record<string, JsonValue | undefined>;
type DriveBus = DiskDefinition['bus'];

/** A full disk or a failed read stops the guest and keeps its data; it goes on when the cause is gone. */
const onError = { werror: 'stop', rerror: 'stop' } as const;

/** Hands out places on the controllers, in the order of the drives. */
class Controllers {
  readonly #board: Board;
  readonly #buses: readonly DriveBus[];
  readonly #used = new Map<DriveBus | 'board', number>();

  constructor(board: Board, buses: readonly DriveBus[]) {
    this.#board = board;
    this.#buses = buses;
  }

  #next(bus: DriveBus | 'board'): number {
    const index = this.#used.get(bus) ?? 0;
    this.#used.set(bus, index + 1);
    return index;
  }

  /** Place of a disk that is a device of the board itself. */
  place(): Place {
    const count = this.#buses.filter((bus) => bus === 'virtio' || bus === 'nvme').length;
    return { kind: 'disk', index: this.#next('board'), count };
  }

  /** The properties that plug a drive into the next place of its bus. */
  plug(bus: 'scsi' | 'sata' | 'ide'): Device {
    const index = this.#next(bus);
    if (bus === 'scsi') return { bus: 'ctl.scsi.0', channel: 0, 'scsi-id': index, lun: 0 };
    if (bus === 'ide') return { bus: `ide.${Math.floor(index / 2)}`, unit: index % 2 };
    return { bus: `ctl.sata.${index}` };
  }

  options(): readonly Option[] {
    const options: Option[] = [];
    if (this.#buses.includes('scsi')) {
      const at = virtioDevice(this.#board, 'scsi', { kind: 'single', device: 'scsi' });
      options.push(jsonOption('-device', { ...at, id: 'ctl.scsi' }));
    }
    if (this.#buses.includes('sata')) {
      const at = busProperties(this.#board, { kind: 'single', device: 'sata' });
      options.push(jsonOption('-device', { driver: 'ich9-ahci', id: 'ctl.sata', ...at }));
    }
    return options;
  }
}

/** Serial numbers are 20 characters at most on all of these buses; by it the guest finds the disk under /dev/disk/by-id. */
const serialOf = (disk: DiskDefinition): string => disk.id.slice(0, 20);

function diskDevice(board: Board, controllers: Controllers, disk: DiskDefinition): Device {
  switch (disk.bus) {
    case 'virtio':
      return { ...virtioDevice(board, 'blk', controllers.place()), ...onError };
    case 'nvme':
      // The emulated NVMe has no error policy: it reports errors to the guest (QEMU 7.2).
      return { driver: 'nvme', ...busProperties(board, controllers.place()) };
    case 'scsi':
      return { driver: 'scsi-hd', ...controllers.plug('scsi'), ...onError };
    case 'sata':
    case 'ide':
      return { driver: 'ide-hd', ...controllers.plug(disk.bus), ...onError };
  }
}

export function driveOptions(
  definition: MachineDefinition,
  table: DescriptorTable,
  bootIndexes: ReadonlyMap<string, number>,
): readonly Option[] {
  const board = boards[definition.machine];
  const cdromBus = definition.machine === 'pc' ? 'ide' : 'sata';
  const controllers = new Controllers(board, [
    ...definition.disks.map((disk) => disk.bus),
    ...definition.cdroms.map(() => cdromBus),
  ]);
  const disks = definition.disks.flatMap((disk) => {
    const nodes = diskNodes(table, disk);
    const device = jsonOption('-device', {
      ...diskDevice(board, controllers, disk),
      id: disk.id,
      drive: nodes.top,
      serial: serialOf(disk),
      bootindex: bootIndexes.get(disk.id),
      'share-rw': disk.shared ? true : undefined,
      'write-cache': disk.cache === 'writethrough' ? 'off' : 'on',
    });
    return [...nodes.options, device];
  });
  const cdroms = definition.cdroms.flatMap((cdrom) => {
    const nodes = cdrom.path === undefined ? null : cdromNodes(table, cdrom.id, cdrom.path);
    const device = jsonOption('-device', {
      driver: 'ide-cd',
      ...controllers.plug(cdromBus),
      id: cdrom.id,
      drive: nodes?.top,
      bootindex: bootIndexes.get(cdrom.id),
    });
    return [...(nodes?.options ?? []), device];
  });
  return [...controllers.options(), ...disks, ...cdroms];
}
