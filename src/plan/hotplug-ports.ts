/** Ports of the board for what is attached while the machine runs. On `pc` every slot that is free is one. */
import { hotplugPorts } from '../definition/hotplug-ports.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import { boards, busProperties } from './boards.ts';
import { jsonOption, type Option } from './options.ts';

export const portId = (index: number): string => `port.${index}`;

export function hotplugOptions(definition: MachineDefinition): readonly Option[] {
  const count = hotplugPorts(definition);
  return Array.from({ length: count }, (_, index) =>
    jsonOption('-device', {
      driver: 'pcie-root-port',
      id: portId(index),
      ...busProperties(boards[definition.machine], { kind: 'port', index, count }),
      // Numbers by which the guest tells the ports apart.
      chassis: index + 1,
      slot: index + 1,
    }),
  );
}
