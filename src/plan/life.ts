/** What QEMU does by itself when the guest reboots or panics. Where the definition has its defaults: nothing is said. */
import type { MachineDefinition } from '../definition/schema.ts';
import { boards } from './boards.ts';
import { jsonOption, keyOption, type Option } from './options.ts';

/** Whether the guest has a device by which to tell of its panic. microvm has no ACPI table that would name one. */
export function tellsPanics({ machine, onCrash }: MachineDefinition): boolean {
  return onCrash !== 'stop' && boards[machine].pciBus !== null;
}

/** The status of `exit-failure` (QEMU 7.1) tells a panic from a power-off also where no manager saw the event. */
export const panicActions = { pause: 'pause', restart: 'exit-failure', stop: 'exit-failure' } as const;

export function lifeOptions(definition: MachineDefinition): readonly Option[] {
  const panics = tellsPanics(definition);
  const actions = {
    ...(definition.onReboot === 'stop' ? { reboot: 'shutdown' } : {}),
    ...(panics ? { panic: panicActions[definition.onCrash] } : {}),
  };
  return Object.keys(actions).length === 0 ? [] : [keyOption('-action', null, actions)];
}

/** On the ISA bus, where guests of all ages look for it: ACPI device QEMU0001 (QEMU, docs/specs/pvpanic). */
export function panicOptions(definition: MachineDefinition): readonly Option[] {
  return tellsPanics(definition) ? [jsonOption('-device', { driver: 'pvpanic', id: 'panic.0' })] : [];
}
