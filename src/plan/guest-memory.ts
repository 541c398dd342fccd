import type { MachineDefinition } from '../definition/schema.ts';

/** The guest's memory in MiB, as QEMU is told; the definition takes whole MiB only. */
export function guestMemoryMib(definition: MachineDefinition): number {
  return Math.ceil(definition.memory / 1024 ** 2);
}
