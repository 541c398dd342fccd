/** PCI devices of the host (QEMU: hw/vfio/pci.c). The broker binds them to vfio-pci and makes the nodes of their groups in the jail. */
import type { MachineDefinition } from '../definition/schema.ts';
import { boards, busProperties, extraPlace } from './boards.ts';
import { jsonOption, type Option } from './options.ts';

/** Numbers of the ports, behind those for what is attached later. */
const firstChassis = 32;

export function hostDeviceOptions(definition: MachineDefinition): readonly Option[] {
  const board = boards[definition.machine];
  return definition.hostDevices.flatMap(({ id, pci, rom }, index) => {
    const at = busProperties(board, extraPlace(definition, `host.${id}`));
    const device = { driver: 'vfio-pci', id, host: pci, ...(rom ? {} : { rombar: 0 }) };
    if (board.pciBus !== 'pcie.0') return [jsonOption('-device', { ...device, ...at })];
    // Drivers look for the link of a port above their device.
    const [port, number] = [`host.${id}`, firstChassis + index];
    return [
      jsonOption('-device', { driver: 'pcie-root-port', id: port, ...at, chassis: number, slot: number }),
      jsonOption('-device', { ...device, bus: port, addr: '00.0' }),
    ];
  });
}
