/** Controllers of drives, and the places on them. */
import type { DiskDefinition, MachineDefinition } from '../definition/schema.ts';
import { usbCounts } from '../definition/usb-devices.ts';
import { boards, busProperties, extraPlace, virtioDevice, type Board, type Place } from './boards.ts';
import { jsonOption, type JsonValue, type Option } from './options.ts';

type Device = Record<string, JsonValue | undefined>;
type DriveBus = DiskDefinition['bus'];

/** Id of the thread of that number, which counts from 1. */
export const threadId = (number: number | undefined): string | undefined =>
  number === undefined ? undefined : `io.${number}`;

export function threadOptions({ iothreads }: MachineDefinition): readonly Option[] {
  return Array.from({ length: iothreads }, (_, index) =>
    jsonOption('-object', { 'qom-type': 'iothread', id: `io.${index + 1}` }),
  );
}

/** Id of a SCSI controller; the first is the only one of most machines. */
const scsiId = (index: number): string => (index === 0 ? 'ctl.scsi' : `ctl.scsi${index}`);

/** How the guest sees the CD-ROM drive. */
export function cdromBus(
  { machine }: MachineDefinition,
  { bus }: MachineDefinition['cdroms'][number],
): 'sata' | 'ide' | 'scsi' {
  if (bus !== 'auto') return bus;
  return machine === 'pc' ? 'ide' : 'sata';
}

/** Hands out places on the controllers, in the order of the drives. */
export class Controllers {
  readonly #definition: MachineDefinition;
  readonly #board: Board;
  readonly #buses: readonly DriveBus[];
  readonly #used = new Map<string, number>();
  /** SCSI ids that a disk asks for, as `controller:unit`. */
  readonly #units: ReadonlySet<string>;

  constructor(definition: MachineDefinition) {
    this.#definition = definition;
    this.#board = boards[definition.machine];
    this.#buses = [
      ...definition.disks.map((disk) => disk.bus),
      ...definition.cdroms.map((cdrom) => cdromBus(definition, cdrom)),
    ];
    this.#units = new Set(
      definition.disks.flatMap(({ controller, unit }) =>
        unit === undefined ? [] : [`${controller}:${unit}`],
      ),
    );
  }

  #next(bus: string): number {
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
  plug(bus: 'sata' | 'ide' | 'usb'): Device {
    const index = this.#next(bus);
    if (bus === 'ide') return { bus: `ide.${Math.floor(index / 2)}`, unit: index % 2 };
    if (bus === 'sata') return { bus: `ctl.sata.${index}` };
    const { inputs, sound } = usbCounts(this.#definition);
    return { bus: 'ctl.usb.0', port: String(1 + inputs + sound + index) };
  }

  /** As `plug`, for a SCSI id that the drive asks for or the next that none does. */
  plugScsi(controller: number, wanted?: number): Device {
    const unit = wanted ?? this.#nextUnit(controller);
    return { bus: `${scsiId(controller)}.0`, channel: 0, 'scsi-id': unit, lun: 0 };
  }

  #nextUnit(controller: number): number {
    const unit = this.#next(`scsi${controller}`);
    return this.#units.has(`${controller}:${unit}`) ? this.#nextUnit(controller) : unit;
  }

  options(): readonly Option[] {
    const options: Option[] = [];
    const listed = this.#definition.scsiControllers ?? (this.#buses.includes('scsi') ? [{}] : []);
    for (const [index, { queues, iothread, commandsPerLun, maxSectors }] of listed.entries()) {
      const place =
        index === 0
          ? ({ kind: 'single', device: 'scsi' } as const)
          : extraPlace(this.#definition, `scsi.${index}`);
      options.push(
        jsonOption('-device', {
          ...virtioDevice(this.#board, 'scsi', place),
          id: scsiId(index),
          num_queues: queues,
          iothread: threadId(iothread),
          cmd_per_lun: commandsPerLun,
          max_sectors: maxSectors,
        }),
      );
    }
    if (this.#buses.includes('sata')) {
      const at = busProperties(this.#board, { kind: 'single', device: 'sata' });
      options.push(jsonOption('-device', { driver: 'ich9-ahci', id: 'ctl.sata', ...at }));
    }
    return options;
  }
}
