/** The definition of another machine from that of one: renamed, or cloned with images and addresses of its own. */
import { applyChange, checkedSource, type ChangedSource } from './apply-change.ts';
import { changeFault } from './change-key.ts';
import type { Fault } from './fault.ts';
import type { KeyPath } from './key-path.ts';
import { parseDefinition } from './parse.ts';
import type { MachineDefinition } from './schema.ts';
import { nearest } from './suggest.ts';
import type { NewValue } from './yaml-text.ts';

export interface CloneOptions {
  /** Name of the new machine. */
  readonly name: string;
  /** Path of the image of each disk of the clone, by disk id; disks that are written need one. */
  readonly diskPaths: Readonly<Record<string, string>>;
}

interface TextChange {
  readonly path: KeyPath;
  readonly value: NewValue | null;
}

function changed(source: string, changes: readonly TextChange[]): ChangedSource {
  let text: string | undefined = source;
  for (const change of changes) text = text === undefined ? undefined : applyChange(text, change);
  if (text !== undefined) return checkedSource(text);
  const message = 'cannot be changed alone in the way this definition is written';
  return { ok: false, faults: [changeFault('name', message, 'Write "name: ..." on a line of its own.')] };
}

/** The same definition with another name. `source` must be a definition without faults. */
export function renameInDefinition(source: string, name: string): ChangedSource {
  const parsed = parseDefinition(source);
  return parsed.ok ? changed(source, [{ path: ['name'], value: name }]) : parsed;
}

function faultsOfPaths({ disks }: MachineDefinition, { name, diskPaths }: CloneOptions): readonly Fault[] {
  const ids = disks.map(({ id }) => id);
  const unknown = Object.keys(diskPaths)
    .filter((id) => !ids.includes(id))
    .map((id) => {
      const near = nearest(id, ids);
      const there = ids.length === 0 ? 'The machine has no disks.' : `There are ${ids.join(', ')}.`;
      return changeFault(
        `disks.${id}`,
        'there is no such disk',
        near === undefined ? there : `Did you mean "${near}"?`,
      );
    });
  const missing = disks.flatMap((disk) => {
    const path = diskPaths[disk.id];
    const own = disk.readonly || disk.shared || (path !== undefined && path !== disk.path);
    const message = `"${name}" needs an image of its own for this disk, which is written`;
    return own
      ? []
      : [changeFault(`disks.${disk.id}`, message, `Copy ${disk.path}, and name the copy as its path.`)];
  });
  return [...unknown, ...missing];
}

/**
 * A definition with another name and other images, without what may be there once: MAC addresses, for which qward makes new ones,
 * UUID and address of vsock. The images are not copied. `source` must be a definition without faults.
 */
export function cloneDefinition(source: string, options: CloneOptions): ChangedSource {
  const parsed = parseDefinition(source);
  if (!parsed.ok) return parsed;
  const { disks, nics, uuid, generationId, vsock } = parsed.definition;
  const faults = faultsOfPaths(parsed.definition, options);
  if (faults.length > 0) return { ok: false, faults };
  return changed(source, [
    { path: ['name'], value: options.name },
    ...disks.flatMap(({ id }, index) => {
      const path = options.diskPaths[id];
      return path === undefined ? [] : [{ path: ['disks', index, 'path'], value: path }];
    }),
    ...(uuid === undefined ? [] : [{ path: ['uuid'], value: null }]),
    ...(vsock === undefined ? [] : [{ path: ['vsock'], value: null }]),
    // By its change the guest learns that it is a copy.
    ...(generationId === undefined ? [] : [{ path: ['generationId'], value: 'auto' }]),
    ...nics.flatMap(({ mac }, index) =>
      mac === undefined ? [] : [{ path: ['nics', index, 'mac'], value: null }],
    ),
  ]);
}
