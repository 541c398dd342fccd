/**
 * Fresh descriptors for images that QEMU opens anew, to read where it wrote and the other way round: of a set that was emptied
 * after its start it finds none, and one that stays would keep its locks (QEMU 7.2).
 */
import type { DeviceThere, Layer } from '../hotplug/hotplug.ts';
import type { Work } from '../hotplug/hotplug-services.ts';
import type { BrokerPort } from '../broker-port.ts';
import { giveFile } from '../lifecycle/give-file.ts';
import type { HeldFile } from '../lifecycle/held-files.ts';
import { takeFresh } from '../saved/fresh-descriptors.ts';
import { failure, success, type Outcome } from '../outcome.ts';

/** Both ways to open it, as the broker is asked for them. */
export function filesOfLayer({ held }: DeviceThere, { path }: Layer): readonly HeldFile[] {
  const known = held.find(({ file }) => file.path === path);
  if (known === undefined) throw new TypeError(`${path} is no image of the disk`);
  return (['ro', 'rw'] as const).map((access) => ({ ...known, file: { ...known.file, access } }));
}

/** A set of QEMU's, and what it is to hold for a moment. */
export interface FreshSet {
  readonly set: number;
  readonly files: readonly HeldFile[];
}

export const freshSet = (there: DeviceThere, layer: Layer): FreshSet => ({
  set: layer.set,
  files: filesOfLayer(there, layer),
});

export type Giving = Pick<Work, 'machine' | 'session'> & { readonly broker: BrokerPort };

/** For as long as `work` takes. The files are noted before. */
export async function withFresh<Result>(
  { broker, machine, session }: Giving,
  sets: readonly FreshSet[],
  work: () => Promise<Outcome<Result>>,
): Promise<Outcome<Result>> {
  try {
    for (const { set, files } of sets)
      for (const { file, identity } of files) {
        const given = await giveFile({ broker, machine: machine.name, session }, file, set);
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
    await withoutFresh(session, sets);
  }
}

/** What was given to the sets before is closed, and nothing is given. */
export async function withoutFresh(
  session: Work['session'],
  sets: readonly FreshSet[],
): Promise<Outcome<undefined>> {
  await takeFresh(
    session,
    sets.map(({ set }) => set),
  );
  return success(undefined);
}
