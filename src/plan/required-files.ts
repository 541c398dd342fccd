/** The files that a start opens, so that the manager can have them looked at before it plans. */
import { filesOf, type NeededFile } from '../definition/named-files.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import { variableStorePath } from './boot.ts';

/**
 * What the broker must be able to open for a start, each path once with the widest access. With UEFI that includes the
 * variable store, which the manager makes before it asks.
 */
export function requiredFiles(definition: MachineDefinition, varsDirectory: string): readonly NeededFile[] {
  const files = filesOf(definition);
  if (definition.firmware !== 'uefi') return files;
  return [...files, { path: variableStorePath(varsDirectory, definition), access: 'rw' }];
}
