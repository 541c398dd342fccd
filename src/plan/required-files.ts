/** The files that a start opens, so that the manager can have them looked at before it plans. */
import type { MachineDefinition } from '../definition/schema.ts';
import type { Access } from '../protocol/launch.ts';
import { variableStorePath } from './boot.ts';

export interface RequiredFile {
  readonly path: string;
  readonly access: Access;
}

/** A file of the definition, where it stands in it, and what it is for in the words of the definition. */
export interface NamedFile extends RequiredFile {
  readonly place: readonly (string | number)[];
  readonly subject: string;
}

/** Every mention of a file in the definition, in its order. */
export function namedFiles(definition: MachineDefinition): readonly NamedFile[] {
  const { kernel, initrd } = definition.boot;
  const files: NamedFile[] = [];
  if (kernel !== undefined)
    files.push({ path: kernel, access: 'ro', place: ['boot', 'kernel'], subject: 'kernel' });
  if (initrd !== undefined)
    files.push({ path: initrd, access: 'ro', place: ['boot', 'initrd'], subject: 'initial RAM disk' });
  for (const [index, disk] of definition.disks.entries()) {
    const subject = `disk "${disk.id}"`;
    const place = ['disks', index] as const;
    files.push({
      path: disk.path,
      access: disk.readonly ? 'ro' : 'rw',
      place: [...place, 'path'],
      subject,
    });
    for (const [depth, image] of disk.backing.entries())
      files.push({
        path: image.path,
        access: 'ro',
        place: [...place, 'backing', depth, 'path'],
        subject: `${subject}, backing image ${depth + 1}`,
      });
  }
  for (const [index, cdrom] of definition.cdroms.entries())
    if (cdrom.path !== undefined)
      files.push({
        path: cdrom.path,
        access: 'ro',
        place: ['cdroms', index, 'path'],
        subject: `CD-ROM drive "${cdrom.id}"`,
      });
  return files;
}

/**
 * What the broker must be able to open for a start, each path once with the widest access. With UEFI that includes the
 * variable store, which the manager makes before it asks.
 */
export function requiredFiles(definition: MachineDefinition, varsDirectory: string): readonly RequiredFile[] {
  const access = new Map<string, Access>();
  for (const file of namedFiles(definition))
    if (file.access === 'rw' || !access.has(file.path)) access.set(file.path, file.access);
  if (definition.firmware === 'uefi') access.set(variableStorePath(varsDirectory, definition.name), 'rw');
  return [...access].map(([path, mode]) => ({ path, access: mode }));
}
