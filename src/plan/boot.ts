/** What the guest boots from: firmware, a kernel given directly, the order of the devices. */
import type { MachineDefinition } from '../definition/schema.ts';
import type { SystemPath } from '../protocol/launch.ts';
import { variableStoreNodes } from './block-nodes.ts';
import type { DescriptorTable } from './descriptor-table.ts';
import type { HostFacts } from './launch-plan.ts';
import { jsonOption, keyOption, textOption, type Option } from './options.ts';

/** Path of the variable store of a machine that boots by UEFI. */
export function variableStorePath(varsDirectory: string, machine: string): string {
  return `${varsDirectory}/${machine}.qcow2`;
}

/**
 * Boot index of each part by its id. It starts at 1: a kernel that is given directly is QEMU's index 0, and two
 * devices with one index are refused.
 */
export function bootIndexes(definition: MachineDefinition): ReadonlyMap<string, number> {
  const order = definition.boot.order ?? [...definition.disks, ...definition.cdroms].map((drive) => drive.id);
  return new Map(order.map((id, index) => [id, index + 1]));
}

export function kernelOptions(definition: MachineDefinition, table: DescriptorTable): readonly Option[] {
  const { kernel, initrd, cmdline } = definition.boot;
  const options: Option[] = [];
  if (kernel !== undefined)
    options.push(
      textOption(
        '-kernel',
        table.addReopened(kernel, { subject: 'boot', reason: 'kernel, booted directly' }),
      ),
    );
  if (initrd !== undefined)
    options.push(
      textOption('-initrd', table.addReopened(initrd, { subject: 'boot', reason: 'initial RAM disk' })),
    );
  if (kernel !== undefined && cmdline !== undefined) options.push(textOption('-append', cmdline));
  return options;
}

/** `strict`: the firmware tries what the definition lists and nothing else. */
export function bootOrderOptions(definition: MachineDefinition): readonly Option[] {
  return [keyOption('-boot', null, { strict: 'on', menu: definition.boot.menu ? 'on' : 'off' })];
}

export interface Firmware {
  readonly options: readonly Option[];
  /** Properties of the machine that name the flash chips. */
  readonly machine: Readonly<Record<string, string>>;
  readonly root: readonly SystemPath[];
}

/** UEFI is two flash chips: OVMF's code, a file of the system that the jail shows, and the machine's own variables. */
export function planFirmware(
  definition: MachineDefinition,
  facts: HostFacts,
  table: DescriptorTable,
): Firmware {
  if (definition.firmware === 'bios' || facts.uefi === null) return { options: [], machine: {}, root: [] };
  const { code } = facts.uefi;
  const vars = variableStoreNodes(table, variableStorePath(facts.varsDirectory, definition.name));
  return {
    options: [
      jsonOption('-blockdev', {
        driver: 'file',
        'node-name': 'uefi.code-file',
        filename: code,
        'read-only': true,
        locking: 'on',
      }),
      jsonOption('-blockdev', {
        driver: 'raw',
        'node-name': 'uefi.code',
        file: 'uefi.code-file',
        'read-only': true,
      }),
      ...vars.options,
    ],
    machine: { pflash0: 'uefi.code', pflash1: vars.top },
    root: [{ source: code, target: code }],
  };
}
