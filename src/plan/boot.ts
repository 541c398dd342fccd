/** What the guest boots from: firmware, a kernel given directly, the order of the devices. */
import type { MachineDefinition } from '../definition/schema.ts';
import type { SystemPath } from '../protocol/launch.ts';
import { variableStoreNodes } from './block-nodes.ts';
import type { DescriptorTable } from './descriptor-table.ts';
import type { HostFacts } from './launch-plan.ts';
import { jsonOption, keyOption, textOption, type Option } from './options.ts';

/** The variable stores that a machine may have, by name: with keys, and without any. */
export const variableStores = (varsDirectory: string, machine: string): readonly string[] =>
  [false, true].map((secureBoot) => variableStorePath(varsDirectory, { name: machine, secureBoot }));

/** Path of the variable store of a machine that boots by UEFI. */
export function variableStorePath(
  varsDirectory: string,
  { name, secureBoot }: Pick<MachineDefinition, 'name' | 'secureBoot'>,
): string {
  return `${varsDirectory}/${name}${secureBoot ? '.secure' : ''}.qcow2`;
}

/** The build of OVMF that a definition asks for, where the host has it. */
export const uefiFor = (
  { secureBoot }: Pick<MachineDefinition, 'secureBoot'>,
  { uefi, secureUefi }: Pick<HostFacts, 'uefi' | 'secureUefi'>,
): HostFacts['uefi'] => (secureBoot ? secureUefi : uefi);

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
  const uefi = uefiFor(definition, facts);
  if (definition.firmware === 'bios' || uefi === null) return { options: [], machine: {}, root: [] };
  const { code } = uefi;
  const vars = variableStoreNodes(table, variableStorePath(facts.varsDirectory, definition));
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
      // SECURITY: promise 2. The variables, and so the keys, are written by the firmware in its own mode alone, and by no kernel of the guest.
      ...(definition.secureBoot
        ? [keyOption('-global', null, { driver: 'cfi.pflash01', property: 'secure', value: 'on' })]
        : []),
    ],
    machine: { ...(definition.secureBoot ? { smm: 'on' } : {}), pflash0: 'uefi.code', pflash1: vars.top },
    root: [{ source: code, target: code }],
  };
}
