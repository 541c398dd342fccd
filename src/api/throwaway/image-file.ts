/** Where an image lies that is called by its name: in the caller's own store, or beneath a storage root (docs/images.md). */
import { access } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import type { QwardClient } from '../client.ts';

/** The path where it is one; a name that nothing has is given back as it is, for the manager to refuse. */
export async function findImageFile(client: QwardClient, image: string): Promise<string> {
  if (isAbsolute(image) || !/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(image)) return image;
  const { XDG_DATA_HOME: data = '', HOME: home = '' } = process.env;
  const own = isAbsolute(data) ? data : join(home, '.local/share');
  const reply = await client.call('disks');
  const roots = reply.ok ? reply.result.roots.map(({ path }) => path) : [];
  const stores = (await client.reach.uid()) === 0 ? roots : [`${own}/qward/images`, ...roots];
  for (const store of stores) {
    const path = `${store}/${image}.qcow2`;
    const there = await access(path).then(
      () => true,
      () => false,
    );
    if (there) return path;
  }
  return image;
}
