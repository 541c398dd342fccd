/**
 * A snapshot of a machine that runs: its guest stands still while each disk gets a snapshot within its image and the memory is
 * written as for a save, and goes on then.
 */
import type { MachineDefinition } from '../../definition/schema.ts';
import { variableStorePath } from '../../plan/boot.ts';
import { commands } from '../../qmp/commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { saveRun, type SaveRequest, type SaveServices } from '../saved/save-run.ts';
import type { StateNote } from '../saved/state-note.ts';
import { maxSnapshots, snapshotName, tagOf, type SnapshotStore } from './snapshot-store.ts';

export interface SnapshotServices extends SaveServices {
  readonly snapshots: SnapshotStore;
  /** Of the stores of UEFI variables. */
  readonly varsDirectory: string;
}

type Disk = MachineDefinition['disks'][number];

/** Those whose content is the machine's; others refuse it. */
export function writtenDisks({ name, disks }: MachineDefinition): Outcome<readonly Disk[]> {
  const written = disks.filter(({ readonly }) => !readonly);
  const raw = written.find(({ format, shared }) => format !== 'qcow2' || shared);
  if (raw === undefined) return success(written);
  return failure(
    'save-failed',
    `machine "${name}" cannot have snapshots: disk "${raw.id}" ${raw.shared ? 'is shared with other machines' : `is ${raw.format}, and only qcow2 holds snapshots`}`,
    raw.shared
      ? 'take the disk out of the machine'
      : `stop the machine and convert it: \`qward disk convert ${raw.path} NEW.qcow2\``,
  );
}

export async function createSnapshot(
  services: SnapshotServices,
  request: Omit<SaveRequest, 'aside'>,
  snapshot: string,
): Promise<Outcome<StateNote>> {
  const { snapshots } = services;
  const { run, record } = request;
  const { machine } = run.launched;
  if (!snapshotName.test(snapshot))
    return failure(
      'request-invalid',
      `"${snapshot}" is no name of a snapshot`,
      'up to 41 small letters, digits and "-"',
    );
  const there = await snapshots.list(machine);
  if (there.some((one) => one.snapshot === snapshot))
    return failure(
      'file-exists',
      `machine "${machine}" has a snapshot "${snapshot}" already`,
      'choose another name',
    );
  if (there.length >= maxSnapshots)
    return failure(
      'save-failed',
      `machine "${machine}" has ${there.length} snapshots, and ${maxSnapshots} are the most`,
      `remove one: \`qward snapshot rm ${machine} SNAPSHOT\``,
    );
  const disks = writtenDisks(run.definition ?? record.definition);
  if (!disks.ok) return disks;
  const { session } = run;
  const definition = run.definition ?? record.definition;
  const uefi = definition.firmware === 'uefi';
  const ids = disks.value.map(({ id }) => id);
  const take = async (): Promise<Outcome<undefined>> => {
    if (session === undefined) return success(undefined);
    // Of one that was not finished: a manager died.
    await dropFromDisks(session, ids, tagOf(snapshot));
    const taken = await snapshotDisks(session, machine, ids, tagOf(snapshot));
    if (!taken.ok || !uefi) return taken;
    return await snapshots.keepVariables(
      machine,
      snapshot,
      variableStorePath(services.varsDirectory, definition),
    );
  };
  const undo = async (): Promise<void> => {
    if (session !== undefined) await dropFromDisks(session, ids, tagOf(snapshot));
    await snapshots.remove(machine, snapshot);
  };
  return await saveRun(services, {
    ...request,
    aside: {
      begin: () => snapshots.begin(machine),
      abandon: (part) => snapshots.abandon(machine, part),
      commit: (note) => snapshots.commit(snapshot, note),
      take,
      undo,
    },
  });
}

/** All of them at the same moment, or none (QEMU's `transaction`). */
async function snapshotDisks(
  session: QmpSession,
  machine: string,
  disks: readonly string[],
  tag: string,
): Promise<Outcome<undefined>> {
  if (disks.length === 0) return success(undefined);
  const done = await commands.snapshotDisks(session, { disks, tag });
  return done.ok
    ? success(undefined)
    : failure(
        'save-failed',
        `machine "${machine}" got no snapshot: ${done.message}`,
        `\`qward logs ${machine}\` shows what QEMU said`,
      );
}

/** Of a running machine; what is not there any more is no fault. */
export async function dropFromDisks(
  session: QmpSession,
  disks: readonly string[],
  tag: string,
): Promise<void> {
  for (const disk of disks) await commands.dropDiskSnapshot(session, { disk, tag });
}
