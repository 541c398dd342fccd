/** What QEMU does by itself when the guest reboots, panics or hangs. Where the definition has its defaults: nothing is said. */
import type { MachineDefinition } from '../definition/schema.ts';
import { boards, busProperties, extraPlace } from './boards.ts';
import { jsonOption, keyOption, type Option } from './options.ts';

/** The device by which the guest tells of its panic. microvm has no ACPI table that would name one. */
function panicDevice({ machine, onCrash, panic }: MachineDefinition): 'none' | 'isa' | 'pci' {
  if (boards[machine].pciBus === null) return 'none';
  if (panic !== 'auto') return panic;
  return onCrash === 'stop' ? 'none' : 'isa';
}

/** Whether the guest has a way to tell of its panic. */
export function tellsPanics(definition: MachineDefinition): boolean {
  return panicDevice(definition) !== 'none' || definition.cpu.hyperv.enlightenments.includes('crash');
}

/** The status of `exit-failure` (QEMU 7.1) tells a panic from a power-off also where no manager saw the event. */
export const panicActions = { pause: 'pause', restart: 'exit-failure', stop: 'exit-failure' } as const;

export function lifeOptions(definition: MachineDefinition): readonly Option[] {
  const { watchdog } = definition;
  const actions = {
    ...(definition.onReboot === 'stop' ? { reboot: 'shutdown' } : {}),
    ...(tellsPanics(definition) ? { panic: panicActions[definition.onCrash] } : {}),
    ...(watchdog.model === 'none' ? {} : { watchdog: watchdog.action }),
  };
  return Object.keys(actions).length === 0 ? [] : [keyOption('-action', null, actions)];
}

/** On the ISA bus guests of all ages look for it: ACPI device QEMU0001 (QEMU, docs/specs/pvpanic). */
export function panicOptions(definition: MachineDefinition): readonly Option[] {
  switch (panicDevice(definition)) {
    case 'none':
      return [];
    case 'isa':
      return [jsonOption('-device', { driver: 'pvpanic', id: 'panic.0' })];
    case 'pci': {
      const at = busProperties(boards[definition.machine], extraPlace(definition, 'panic'));
      return [jsonOption('-device', { driver: 'pvpanic-pci', id: 'panic.0', ...at })];
    }
  }
}
