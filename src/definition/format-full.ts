/** A definition as YAML with every default written out. */
import { stringify } from 'yaml';
import * as z from 'zod';
import { machineSchema, type MachineDefinition } from './schema.ts';

/** Sizes and durations get units again; parseDefinition makes the same definition of it. */
export function formatFull(definition: MachineDefinition): string {
  return stringify(z.encode(machineSchema, definition), { lineWidth: 0, version: '1.2', schema: 'core' });
}

/** The same in a line, for qward to keep: JSON, of which parseDefinition makes the same definition too. */
export function definitionText(definition: MachineDefinition): string {
  return JSON.stringify(z.encode(machineSchema, definition));
}
