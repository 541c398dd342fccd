/** Ports of PCI Express for what is attached while a machine runs: all in one slot of the board. */
import type { MachineDefinition } from './schema.ts';

export const mostPorts = 8;
const byDefault = 4;

/** None where the slot has another device: QEMU puts AMD's IOMMU into the first that is free (7.2). */
export function hotplugPorts({
  machine,
  hotplug,
  iommu,
}: Pick<MachineDefinition, 'machine' | 'hotplug' | 'iommu'>): number {
  if (machine !== 'q35' || iommu.model === 'amd') return 0;
  return hotplug.ports ?? byDefault;
}
