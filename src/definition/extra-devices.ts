/** PCI devices that few machines have: they share two slots of the board, in this order (plan/boards.ts). */
import type { MachineDefinition } from './schema.ts';

/** Two slots with eight functions each. */
export const extraPlaces = 16;

export type ExtraParts = Pick<
  MachineDefinition,
  | 'shares'
  | 'serials'
  | 'vsock'
  | 'iommu'
  | 'sound'
  | 'watchdog'
  | 'panic'
  | 'inputs'
  | 'scsiControllers'
  | 'hostDevices'
  | 'moreVideo'
>;

const pciSound: ReadonlySet<string> = new Set(['ich6', 'ich9', 'ac97', 'es1370']);

/** Their names within the plan. */
export function extraDevices({
  iommu,
  sound,
  watchdog,
  panic,
  inputs,
  scsiControllers = [],
  serials,
  vsock,
  hostDevices,
  shares,
  moreVideo,
}: ExtraParts): readonly string[] {
  return [
    ...(iommu.model === 'virtio' ? ['iommu'] : []),
    ...(pciSound.has(sound.model) ? ['sound'] : []),
    ...(watchdog.model === 'i6300esb' ? ['watchdog'] : []),
    ...(panic === 'pci' ? ['panic'] : []),
    // The first has a slot of its own.
    ...scsiControllers.slice(1).map((_, index) => `scsi.${index + 1}`),
    ...serials.flatMap(({ id, type }) => (type === 'pci' ? [`serial.${id}`] : [])),
    ...(vsock === undefined ? [] : ['vsock']),
    ...hostDevices.flatMap(({ id, pci }) => (pci === undefined ? [] : [`host.${id}`])),
    ...shares.map((_, index) => `share.${index}`),
    ...moreVideo.map((_, index) => `graphics.${index + 1}`),
    ...(inputs ?? []).flatMap(({ bus }, index) => (bus === 'virtio' ? [`input.${index}`] : [])),
  ];
}
