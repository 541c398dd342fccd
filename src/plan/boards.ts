/** The boards that QEMU emulates, and where devices sit on them. What fits on which is the definition's to check. */
import { extraDevices } from '../definition/extra-devices.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import type { JsonValue } from './options.ts';

export interface Board {
  /** Bus of PCI devices; null: virtio devices sit on the memory bus (virtio-mmio). */
  readonly pciBus: 'pcie.0' | 'pci.0' | null;
  /** Properties of the machine that take away what a guest of today does not need. */
  readonly properties: Readonly<Record<string, string>>;
}

/** No port of the VMware back door, no HPET, no USB, no system management mode, no SMBus memory chips. */
const lean = { usb: 'off', vmport: 'off', hpet: 'off', smm: 'off', smbus: 'off' } as const;
/** No merging of equal pages: other machines could measure what this one holds. */
const memory = { 'mem-merge': 'off', 'dump-guest-core': 'off' } as const;

export const boards: Readonly<Record<MachineDefinition['machine'], Board>> = {
  // The built-in SATA controller is left out; a machine with SATA drives gets one as a device.
  q35: { pciBus: 'pcie.0', properties: { ...lean, sata: 'off', ...memory } },
  pc: { pciBus: 'pci.0', properties: { ...lean, ...memory } },
  microvm: { pciBus: null, properties: memory },
};

/** Places of the devices that a machine has once. Fixed, so that a guest finds them where they were. */
const slots = { graphics: 2, scsi: 3, serial: 4, rng: 5, balloon: 6, usb: 7, sata: 0x1c } as const;
const nicSlots = { first: 0x08, count: 4 } as const;
const diskSlots = { first: 0x0c, count: 15 } as const;
/** virtio-mmio has 24 places and no addresses that a user sees: fixed devices, then disks upward and cards downward. */
const mmioSingles: ReadonlyMap<keyof typeof slots, number> = new Map([
  ['serial', 0],
  ['rng', 1],
  ['balloon', 2],
]);
const mmioDisks = { first: 4, last: 23 } as const;

/**
 * Ports for what is attached later are functions of one slot, behind the disks. Slot 1 is free: QEMU gives it to a device of `qemu.args` that
 * says no place, and does so before it makes those of the plan.
 */
const portSlot = 0x1b;

/** Devices that few machines have share two slots, as functions in the order in which they are planned. */
const extraSlots = { first: 0x1d, functions: 8 } as const;

export type Place =
  | { readonly kind: 'single'; readonly device: keyof typeof slots }
  | { readonly kind: 'nic' | 'disk' | 'extra' | 'port'; readonly index: number; readonly count: number };

/** Place of a device of extra-devices.ts. */
export function extraPlace(definition: MachineDefinition, name: string): Place {
  const names = extraDevices(definition);
  const index = names.indexOf(name);
  if (index === -1) throw new Error(`${name}: not among the devices of two slots`);
  return { kind: 'extra', index, count: names.length };
}

function pciAddress(place: Place): { readonly slot: number; readonly fn: number; readonly shared: boolean } {
  if (place.kind === 'single') return { slot: slots[place.device], fn: 0, shared: false };
  const { index, count } = place;
  // Cards keep their address, and with it their name in the guest, when one is added; disks keep their order.
  if (place.kind === 'nic')
    return {
      slot: nicSlots.first + (index % nicSlots.count),
      fn: Math.floor(index / nicSlots.count),
      shared: count > nicSlots.count,
    };
  if (place.kind === 'extra') {
    const { first, functions } = extraSlots;
    const before = Math.floor(index / functions) * functions;
    return { slot: first + before / functions, fn: index % functions, shared: count - before > 1 };
  }
  if (place.kind === 'port') return { slot: portSlot, fn: index, shared: count > 1 };
  const perSlot = Math.ceil(count / diskSlots.count);
  return { slot: diskSlots.first + Math.floor(index / perSlot), fn: index % perSlot, shared: perSlot > 1 };
}

function mmioPlace(place: Place): number {
  if (place.kind === 'nic') return mmioDisks.last - place.index;
  if (place.kind === 'disk') return mmioDisks.first + place.index;
  const fixed = place.kind === 'single' ? mmioSingles.get(place.device) : undefined;
  if (fixed === undefined) throw new Error(`${JSON.stringify(place)}: not a place of virtio-mmio`);
  return fixed;
}

/** The properties of a device of four functions in the place of the USB controller: ehci and its companions. */
export function usbFunction(board: Board, fn: number): Record<string, JsonValue> {
  const slot = slots.usb.toString(16).padStart(2, '0');
  return { bus: board.pciBus, addr: `${slot}.${fn}`, ...(fn === 0 ? { multifunction: true } : {}) };
}

/** The properties of a device that say where on the board it sits. */
export function busProperties(board: Board, place: Place): Record<string, JsonValue> {
  if (board.pciBus === null) return { bus: `virtio-mmio-bus.${mmioPlace(place)}` };
  const { slot, fn, shared } = pciAddress(place);
  return {
    bus: board.pciBus,
    addr: `${slot.toString(16).padStart(2, '0')}.${fn}`,
    ...(shared && fn === 0 ? { multifunction: true } : {}),
  };
}

/**
 * Driver and place of a virtio device. On PCI Express without the registers of the time before the standard; on `pc`
 * with them, since its guests may be old.
 */
export function virtioDevice(board: Board, model: string, place: Place): Record<string, JsonValue> {
  if (board.pciBus === null) return { driver: `virtio-${model}-device`, ...busProperties(board, place) };
  return {
    driver: `virtio-${model}-pci`,
    ...busProperties(board, place),
    ...(board.pciBus === 'pcie.0' ? { 'disable-legacy': 'on' } : {}),
  };
}
