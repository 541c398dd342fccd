import type { MachineDefinition } from '../definition/schema.ts';

/** The guest's memory in MiB, as QEMU is told; the definition takes whole MiB only. */
export function guestMemoryMib(definition: MachineDefinition): number {
  return Math.ceil(definition.memory / 1024 ** 2);
}

/** With what can be plugged in later. */
export function mostMemoryMib(definition: MachineDefinition): number {
  return Math.max(guestMemoryMib(definition), (definition.memoryMaximum ?? 0) / 1024 ** 2);
}
