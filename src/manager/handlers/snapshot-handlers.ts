/** Calls for snapshots of machines. */
import type { Machine } from '../lifecycle/machine.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { EventHistory } from '../events.ts';
import type { Handlers } from '../server/call.ts';
import { withinQuota, type KeepingServices } from '../saved/within-quota.ts';
import { halfReverted } from '../saved/restore.ts';
import { createSnapshot, dropFromDisks, writtenDisks } from '../snapshots/create-snapshot.ts';
import { removeSnapshot, revertToSnapshot, type OfflineServices } from '../snapshots/revert-snapshot.ts';
import { tagOf } from '../snapshots/snapshot-store.ts';

export type SnapshotHandlerServices = OfflineServices & KeepingServices & { readonly events: EventHistory };

type SnapshotCalls = 'snapshots' | 'snapshotCreate' | 'snapshotRevert' | 'snapshotRemove';

export function createSnapshotHandlers(services: SnapshotHandlerServices): Pick<Handlers, SnapshotCalls> {
  const { snapshots, events } = services;
  const done = (
    machine: Machine,
    by: string,
    snapshot: string,
    outcome: Outcome<string>,
  ): Outcome<{ name: string; snapshot: string; outcome: string }> => {
    if (!outcome.ok) return outcome;
    machine.life.note(`snapshot "${snapshot}" ${outcome.value} by ${by}`);
    events.emit('machine.snapshot', machine.name, by, { snapshot, outcome: outcome.value });
    return success({ name: machine.name, snapshot, outcome: `snapshot ${snapshot} ${outcome.value}` });
  };
  return {
    snapshots: async ({ machine }) => {
      const kept = await snapshots.list(machine.name);
      return success({
        name: machine.name,
        snapshots: kept.map((one) =>
          'note' in one
            ? {
                snapshot: one.snapshot,
                at: one.note.savedAt,
                by: one.note.by,
                bytes: one.note.memory.bytes,
                unusable: null,
              }
            : { snapshot: one.snapshot, at: null, by: null, bytes: null, unusable: one.unusable },
        ),
      });
    },
    snapshotCreate: async ({ machine, identity, body }) => {
      const made = await withinQuota(services, machine, () =>
        machine.snapshot(identity.user, (request) => createSnapshot(services, request, body.snapshot)),
      );
      return done(machine, identity.user, body.snapshot, made);
    },
    snapshotRevert: async ({ machine, identity, params, closed }) => {
      const { snapshot } = params;
      const owner = machine.record?.metadata.owner;
      if (owner === undefined) return unknown(machine.name);
      const reverted = await machine.change(async () => {
        const { saved } = machine;
        if (saved !== undefined && halfReverted(machine.name, saved) === undefined)
          return failure(
            'machine-saved',
            `machine "${machine.name}" did not go back to snapshot "${snapshot}": its memory is saved, and would be lost`,
            `throw it away first: \`qward discard-state ${machine.name}\``,
          );
        const outcome = await revertToSnapshot(services, {
          machine: machine.name,
          owner,
          snapshot,
          signal: closed(),
        });
        machine.life.rest();
        return outcome.ok ? success('reverted to') : outcome;
      });
      return done(machine, identity.user, snapshot, reverted);
    },
    snapshotRemove: async ({ machine, identity, params, closed }) => {
      const { snapshot } = params;
      const owner = machine.record?.metadata.owner;
      if (owner === undefined) return unknown(machine.name);
      const removed =
        machine.run === undefined
          ? await machine.change(async () => {
              const half = halfReverted(machine.name, machine.saved, snapshot);
              if (half !== undefined) return half;
              const outcome = await removeSnapshot(services, {
                machine: machine.name,
                owner,
                snapshot,
                signal: closed(),
              });
              return outcome.ok ? success('removed') : outcome;
            })
          : await machine.changeRunning(() => removeLive(services, machine, snapshot));
      return done(machine, identity.user, snapshot, removed);
    },
  };
}

async function removeLive(
  { snapshots }: SnapshotHandlerServices,
  machine: Machine,
  snapshot: string,
): Promise<Outcome<string>> {
  const found = await snapshots.get(machine.name, snapshot);
  if (!found.ok && found.faults[0]?.code !== 'state-unusable') return found;
  const session = machine.session();
  if (!session.ok) return session;
  const definition = machine.run?.definition ?? machine.record?.definition;
  const disks = definition === undefined ? success([]) : writtenDisks(definition);
  if (!disks.ok) return disks;
  await dropFromDisks(
    session.value,
    disks.value.map(({ id }) => id),
    tagOf(snapshot),
  );
  const removed = await snapshots.remove(machine.name, snapshot);
  return removed.ok ? success('removed') : removed;
}

const unknown = (name: string): Outcome<never> =>
  failure('machine-unknown', `machine "${name}" is not defined`, '`qward list` shows which there are');
