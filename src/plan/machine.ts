/** The board: its type, what is left out of it, and what it has beside devices. */
import type { MachineDefinition } from '../definition/schema.ts';
import type { Accelerator } from './accelerator.ts';
import { boards } from './boards.ts';
import { graphicsCard, hasBoardInputs } from './display.ts';
import { jsonOption, keyOption, type Option } from './options.ts';

/** Names of QEMU's boards where a version is added. */
const versioned = { q35: 'pc-q35', pc: 'pc-i440fx', microvm: undefined } as const;

function boardName({ machine, machineVersion }: MachineDefinition): string {
  const base = versioned[machine];
  return base === undefined || machineVersion === undefined ? machine : `${base}-${machineVersion}`;
}

/** What differs from the lean board of boards.ts. */
function platformProperties({ platform }: MachineDefinition, accel: Accelerator): Record<string, string> {
  return {
    ...(platform.acpi ? {} : { acpi: 'off' }),
    ...(platform.smm ? { smm: 'on' } : {}),
    ...(platform.vmport ? { vmport: 'on' } : {}),
    // TCG has all of them in QEMU.
    ...(platform.irqchip === undefined || accel.kind === 'tcg'
      ? {}
      : { 'kernel-irqchip': platform.irqchip === 'kernel' ? 'on' : 'split' }),
  };
}

export function machineOptions(
  definition: MachineDefinition,
  accel: Accelerator,
  properties: Readonly<Record<string, string>>,
): readonly Option[] {
  const { machine, platform } = definition;
  const board = boards[machine];
  // The PS/2 keyboard is the one that every firmware and boot loader knows; without a screen nobody types on it.
  const keyboard = board.pciBus === null || hasBoardInputs(definition) ? {} : { i8042: 'off' };
  const graphics = graphicsCard(definition) === 'none' ? { graphics: 'off' } : {};
  return [
    keyOption('-machine', boardName(definition), {
      ...board.properties,
      ...keyboard,
      ...graphics,
      ...platformProperties(definition, accel),
      ...properties,
    }),
    // SECURITY: promise 2. `pc` builds a floppy controller whatever one says (QEMU 7.2). At this base all its ports lie
    // beyond the 64 Ki that exist, so no guest reaches a register of it.
    ...(machine === 'pc' ? [keyOption('-global', null, { 'isa-fdc.iobase': 65_535 })] : []),
    ...(platform.tseg === undefined
      ? []
      : [keyOption('-global', null, { 'mch.extended-tseg-mbytes': platform.tseg / 1024 ** 2 })]),
    ...(platform.vmcoreinfo ? [jsonOption('-device', { driver: 'vmcoreinfo', id: 'vmcoreinfo.0' })] : []),
  ];
}
