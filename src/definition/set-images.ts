/** The images of one disk of a definition's text; comments and everything else stay as they were written. */
import { applyChange, checkedSource, type ChangedSource } from './apply-change.ts';
import { changeFault } from './change-key.ts';
import { valueAt, type Plain } from './key-path.ts';
import { readYaml } from './read-yaml.ts';
import type { NewValue } from './yaml-text.ts';

interface Image {
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
}

/** An image with what lies below it, the nearest first. */
export interface DiskImages extends Image {
  readonly backing: readonly Image[];
}

export const imagesOf = ({ path, format, backing }: DiskImages): DiskImages => ({
  path,
  format,
  backing: backing.map((image) => ({ path: image.path, format: image.format })),
});

export const sameImages = (one: DiskImages, other: DiskImages): boolean =>
  JSON.stringify(imagesOf(one)) === JSON.stringify(imagesOf(other));

/** `source` must be a definition without faults. */
export function setDiskImages(source: string, id: string, images: DiskImages): ChangedSource {
  const { path, format, backing } = imagesOf(images);
  const disks = valueAt(readYaml(source).value, ['disks']);
  const index = Array.isArray(disks)
    ? (disks as readonly Plain[]).findIndex((disk) => valueAt(disk, ['id']) === id)
    : -1;
  const key = `disks.${id}`;
  if (index < 0)
    return { ok: false, faults: [changeFault(key, 'there is no such disk', 'Look at `disks`.')] };
  const changes: readonly (readonly [string, NewValue | null])[] = [
    ['path', path],
    ['format', format],
    ['backing', backing.length === 0 ? null : backing.map((image) => ({ ...image }))],
  ];
  let text = source;
  for (const [name, value] of changes) {
    const place = ['disks', index, name];
    if (value === null && valueAt(readYaml(text).value, place) === undefined) continue;
    const changed = applyChange(text, { path: place, value });
    if (changed === undefined) {
      const message = 'cannot be changed alone in the way this definition is written';
      return { ok: false, faults: [changeFault(`${key}.${name}`, message, 'Use `qward edit`.')] };
    }
    text = changed;
  }
  return checkedSource(text);
}
