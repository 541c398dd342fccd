/**
 * Fresh descriptors for images that QEMU opens anew, to read where it wrote and the other way round: of a set that was emptied
 * after its start it finds none, and one that stays would keep its locks (QEMU 7.2).
 */
import { commands } from '../../qmp/commands.ts';
import type { DeviceThere, Layer } from '../hotplug/hotplug.ts';
import type { Work } from '../hotplug/hotplug-services.ts';
import { giveFile } from '../lifecycle/give-file.ts';
import type { HeldFile } from '../lifecycle/held-files.ts';
import { failure, type Outcome } from '../outcome.ts';

/** Both ways to open it, as the broker is asked for them. */
export function filesOfLayer({ held }: DeviceThere, { path }: Layer): readonly HeldFile[] {
  const known = held.find(({ file }) => file.path === path);
  if (known === undefined) throw new TypeError(`${path} is no image of the disk`);
  return (['ro', 'rw'] as const).map((access) => ({ ...known, file: { ...known.file, access } }));
}

/** For as long as `work` takes. The files are noted before. */
export async function withFresh<Result>(
  { services, machine, session }: Pick<Work, 'services' | 'machine' | 'session'>,
  layers: readonly { readonly there: DeviceThere; readonly layer: Layer }[],
  work: () => Promise<Outcome<Result>>,
): Promise<Outcome<Result>> {
  const sets = new Set<number>();
  try {
    for (const { there, layer } of layers)
      for (const { file, identity } of filesOfLayer(there, layer)) {
        sets.add(layer.set);
        const receiver = { broker: services.broker, machine: machine.name, session };
        const given = await giveFile(receiver, file, layer.set);
        if (!given.ok) return given;
        const now = given.value.identity;
        // SECURITY: promise 7. Never another file in the place of the one that the guest has written to.
        if (identity !== undefined && (identity.device !== now?.device || identity.inode !== now.inode))
          return failure(
            'block-failed',
            `machine "${machine.name}": ${file.path} is another file by now than the one that it has open`,
            'put the file back, or stop the machine',
          );
      }
    return await work();
  } finally {
    for (const set of sets) await commands.removeFd(session, { set });
  }
}
