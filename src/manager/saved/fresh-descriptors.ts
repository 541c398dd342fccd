/**
 * Fresh descriptors for images that QEMU opens anew: as it hands them over to a state it lets go of writing, and takes it up
 * again where that fails; of a set that was emptied after the start it finds none (QEMU 7.2).
 */
import { commands } from '../../qmp/commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import { firstDescriptor, type Descriptor } from '../../protocol/launch.ts';
import type { BrokerPort } from '../broker-port.ts';
import { giveFile } from '../lifecycle/give-file.ts';
import type { Run } from '../lifecycle/run.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Aim } from './what-runs.ts';

type File = Extract<Descriptor, { kind: 'file' }>;

/** Each image that is written, and the set from which QEMU takes its descriptors. */
function writtenSets({
  launched: { launch },
}: Run): readonly { readonly set: number; readonly file: File }[] {
  return launch.argv.flatMap((word, index) => {
    const [, fd, set] = /^fd=(\d+),set=(\d+),opaque=rw$/.exec(word) ?? [];
    const descriptor = launch.descriptors[Number(fd) - firstDescriptor];
    if (launch.argv[index - 1] !== '-add-fd' || descriptor?.kind !== 'file') return [];
    return [{ set: Number(set), file: descriptor }];
  });
}

export const setsOf = (run: Run): readonly number[] => writtenSets(run).map(({ set }) => set);

/** Gives the sets that it filled, in part too where it fails. */
export async function giveFresh(
  broker: BrokerPort,
  { run, session, aim }: { readonly run: Run; readonly session: QmpSession; readonly aim: Aim },
): Promise<{ readonly given: Outcome<undefined>; readonly sets: readonly number[] }> {
  const { machine } = run.launched;
  const { files } = run.now;
  const sets: number[] = [];
  for (const { set, file } of writtenSets(run)) {
    sets.push(set);
    for (const access of ['ro', 'rw'] as const) {
      const given = await giveFile({ broker, machine, session }, { ...file, access }, set);
      if (!given.ok) return { given, sets };
      const [known, now] = [files[file.path], given.value.identity];
      // SECURITY: promise 7. Never another file in the place of the one that the guest has written to.
      if (known !== undefined && (known.device !== now?.device || known.inode !== now.inode))
        return { given: replaced(machine, file.path, aim), sets };
    }
  }
  return { given: success(undefined), sets };
}

const replaced = (machine: string, path: string, aim: Aim): Outcome<never> =>
  failure(
    'save-failed',
    `machine "${machine}" was not ${aim}: ${path} is another file by now than the one that it has open`,
    'put the file back, or stop the machine instead',
  );

/** Sets whose nodes are open keep a descriptor of their own; nothing more is held for longer than it is needed. */
export async function takeFresh(session: QmpSession, sets: readonly number[]): Promise<void> {
  for (const set of sets) await commands.removeFd(session, { set });
}
