/** Calls on the images of running machines. */
import { backUpDisks, type BackupServices } from '../blocks/backup-disks.ts';
import { chainOf } from '../blocks/chain.ts';
import { commitDisk } from '../blocks/commit-disk.ts';
import { mirrorDisk } from '../blocks/mirror-disk.ts';
import { pullDisk, type PullDiskServices } from '../blocks/pull-disk.ts';
import { snapshotDisks } from '../blocks/snapshot-disks.ts';
import type { EventHistory } from '../events.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { SnapshotStore } from '../snapshots/snapshot-store.ts';
import type { Identity } from '../roles.ts';
import type { Handlers } from '../server/call.ts';

export interface BlockHandlerServices extends BackupServices, PullDiskServices {
  readonly events: Pick<EventHistory, 'emit'>;
  readonly snapshots: Pick<SnapshotStore, 'list'>;
}

/** SECURITY: promise 7. A snapshot with memory stands on the images that the machine had: nothing is written into them, or left behind. */
async function unlessSnapshotsStand<Result>(
  { snapshots }: Pick<BlockHandlerServices, 'snapshots'>,
  { name }: Machine,
  disk: string,
  work: () => Promise<Outcome<Result>>,
): Promise<Outcome<Result>> {
  const [first] = await snapshots.list(name);
  if (first === undefined) return await work();
  return failure(
    'machine-saved',
    `disk "${disk}" of machine "${name}" keeps its images: snapshot "${first.snapshot}" stands on them`,
    `go back to it, or remove it: \`qward snapshot rm ${name} ${first.snapshot}\``,
  );
}

type BlockCalls = 'chain' | 'mirror' | 'backup' | 'backups' | 'overlay' | 'commit' | 'pull';

export function createBlockHandlers(services: BlockHandlerServices): Pick<Handlers, BlockCalls> {
  const tell = (machine: Machine, { user }: Identity, disk: string, what: string): void => {
    services.events.emit(`disk.${what.replace(/ .*/, '')}`, machine.name, user, { disk });
    machine.life.note(`disk "${disk}" ${what}, by ${user}`);
  };
  return {
    chain: ({ machine }) => chainOf(machine),
    mirror: async ({ machine, identity, body, closed }) => {
      const { disk, path } = body;
      const mirrored = await unlessSnapshotsStand(services, machine, disk, () =>
        mirrorDisk(services, machine, body, { identity, signal: closed() }),
      );
      if (!mirrored.ok) return mirrored;
      tell(machine, identity, disk, `mirrored from ${mirrored.value} to ${path}`);
      return success({ name: machine.name, disk, path, before: mirrored.value });
    },
    backup: async ({ machine, identity, body, closed }) => {
      const made = await backUpDisks(services, machine, body, { identity, signal: closed() });
      if (!made.ok) return made;
      const { disks, ...rest } = made.value;
      for (const { disk, path } of disks) tell(machine, identity, disk, `backed-up to ${path}`);
      return success({
        ...rest,
        name: machine.name,
        disks: disks.map((one) => ({ ...one, onto: [...one.onto] })),
      });
    },
    backups: async ({ machine }) => {
      const listed = await services.backups.list(machine.name);
      if (!listed.ok) return listed;
      const backups = listed.value.map((one) => ({
        ...one,
        disks: one.disks.map((disk) => ({ ...disk, onto: [...disk.onto] })),
      }));
      return success({ name: machine.name, backups });
    },
    overlay: async ({ machine, identity, body, closed }) => {
      const { disks } = body;
      const frozen = await snapshotDisks(services, machine, body, { identity, signal: closed() });
      if (!frozen.ok) return frozen;
      for (const { disk, path } of disks) tell(machine, identity, disk, `snapshot, written to ${path} now`);
      return success({ name: machine.name, disks, frozen: frozen.value });
    },
    commit: async ({ machine, identity, body, closed }) => {
      const { disk } = body;
      const left = await unlessSnapshotsStand(services, machine, disk, () =>
        commitDisk(services, machine, body, { identity, signal: closed() }),
      );
      if (!left.ok) return left;
      tell(machine, identity, disk, `committed; ${left.value} is not used any more`);
      return success({ name: machine.name, disk, left: left.value });
    },
    pull: async ({ machine, identity, body, closed }) => {
      const { disk } = body;
      const path = await unlessSnapshotsStand(services, machine, disk, () =>
        pullDisk(services, machine, body, { identity, signal: closed() }),
      );
      if (!path.ok) return path;
      tell(machine, identity, disk, `pulled: ${path.value} stands alone`);
      return success({ name: machine.name, disk, path: path.value });
    },
  };
}
