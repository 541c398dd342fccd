/**
 * Another disc in a drive of a running machine. It is planned and opened as for a start; QEMU gets the descriptor, and what it had
 * open before is closed: that is looked at on the live process.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import type { MachineDefinition } from '../../definition/schema.ts';
import { plannedMedium, type PlannedMedium } from '../../plan/medium.ts';
import type { CommandResult } from '../../qmp/command-result.ts';
import type { Drive } from '../../qmp/command-values.ts';
import { commands } from '../../qmp/commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import { lookAtWalls, type WallServices } from '../lifecycle/look-at-walls.ts';
import { giveFile, monitorFailure } from '../lifecycle/give-file.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Run } from '../lifecycle/run.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Planner } from '../planner.ts';
import type { Medium } from './media.ts';

export interface MediaServices extends WallServices {
  readonly planner: Planner;
}

export interface MediumChange {
  readonly drive: string;
  /** Null: the disc that is in the drive is taken out. */
  readonly path: string | null;
  /** Take the disc out although the guest uses it. */
  readonly force: boolean;
}

/** How long a guest that keeps the tray in may take to let it out. */
const trayMs = 10_000;
const trayPollMs = 100;

export async function changeMedium(
  services: MediaServices,
  machine: Machine,
  change: MediumChange,
): Promise<Outcome<undefined>> {
  const session = machine.session();
  if (!session.ok) return session;
  const { run, record } = machine;
  if (run === undefined || record === null)
    return failure('machine-unknown', `machine "${machine.name}" is not defined`, '`qward list --all`');
  return await run.media.alone(async () => {
    const found = await findDrive(machine, session.value, change.drive);
    if (!found.ok) return found;
    const planned =
      change.path === null
        ? null
        : await planMedium(services.planner, record, { ...change, path: change.path });
    if (planned !== null && !planned.ok) return planned;
    const work = { services, machine, run, session: session.value, change };
    const changed = await exchange(work, planned?.value ?? null);
    await machine.life.keepNote();
    // SECURITY: promise 2. Of the disc before nothing is open any more, and of the new one just what was planned.
    return changed.ok ? await lookAtWalls(services, machine, 'the disc was changed') : changed;
  });
}

async function findDrive(machine: Machine, session: QmpSession, drive: string): Promise<Outcome<Drive>> {
  const drives = await commands.queryBlock(session);
  if (!drives.ok) return monitorFailure(machine, drives);
  const removable = machine.record?.definition.cdroms.map(({ id }) => id) ?? [];
  const found = drives.value.find(({ device }) => deviceId(device) === drive);
  if (found !== undefined && (removable.includes(drive) || found.tray)) return success(found);
  return failure(
    'request-invalid',
    `machine "${machine.name}" has no drive "${drive}" for discs`,
    removable.length === 0
      ? 'add one to `cdroms` of its definition; it is there from the next start on'
      : `it has: ${removable.join(', ')}`,
  );
}

/** QEMU names a device by its id, or by its path in the tree of devices. */
export const deviceId = (device: string): string =>
  /^\/machine\/peripheral\/([^/]+)/.exec(device)?.[1] ?? device;

/** Everything of the definition that is no part of this is left out: a disk that is missing keeps no disc out. */
async function planMedium(
  planner: Planner,
  { definition, metadata }: NonNullable<Machine['record']>,
  { drive, path }: { readonly drive: string; readonly path: string },
): Promise<Outcome<PlannedMedium>> {
  const alone: MachineDefinition = {
    ...definition,
    machine: definition.machine === 'microvm' ? 'q35' : definition.machine,
    firmware: 'bios',
    boot: { menu: false },
    hooks: {},
    disks: [],
    nics: [],
    cdroms: [{ ...(definition.cdroms.find(({ id }) => id === drive) ?? { id: drive, bus: 'auto' }), path }],
  };
  const planned = await planner.plan(alone, { owner: metadata.owner, makeFiles: false });
  if (!planned.ok) return planned;
  const medium = plannedMedium(planned.value.plan.launch, drive);
  if (medium === undefined) throw new TypeError(`no disc was planned for ${drive}`);
  return success(medium);
}

interface Work {
  readonly services: MediaServices;
  readonly machine: Machine;
  readonly run: Run;
  readonly session: QmpSession;
  readonly change: MediumChange;
}

/** The disc before goes in again where the new one cannot. */
async function exchange(work: Work, planned: PlannedMedium | null): Promise<Outcome<undefined>> {
  const { run, session, machine, change } = work;
  const { drive } = change;
  const added = planned === null ? null : await addNodes(work, planned);
  if (added !== null && !added.ok) return added;
  const next = added?.value ?? null;
  const out = await takeOut(work);
  if (!out.ok) {
    if (next !== null) await dropNodes(session, next);
    return out;
  }
  const before = run.media.of(drive);
  if (next !== null) {
    const inserted = await insert(session, drive, next.nodes[0]);
    if (!inserted.ok) {
      if (before !== null) await insert(session, drive, before.nodes[0]);
      await dropNodes(session, next);
      return monitorFailure(machine, inserted);
    }
  }
  run.media.put(drive, next);
  if (before !== null) await dropNodes(session, before);
  return success(undefined);
}

async function insert(session: QmpSession, drive: string, node: string): Promise<CommandResult<unknown>> {
  const inserted = await commands.insertMedium(session, { drive, node });
  return inserted.ok ? await commands.closeTray(session, { drive }) : inserted;
}

/** The file, opened by the broker, as nodes of QEMU that no drive has yet. */
async function addNodes(work: Work, { file, nodes }: PlannedMedium): Promise<Outcome<Medium>> {
  const { services, machine, session } = work;
  const given = await giveFile({ broker: services.broker, machine: machine.name, session }, file);
  if (!given.ok) return given;
  const { set, identity } = given.value;
  const name = `media.${randomBytes(4).toString('hex')}`;
  const medium: Medium = { file, identity, nodes: [name, `${name}.file`] };
  const [formatName, fileName] = medium.nodes;
  const made = await inOrder([
    () =>
      commands.blockdevAdd(session, {
        ...nodes.file,
        'node-name': fileName,
        filename: `/dev/fdset/${set}`,
      }),
    () => commands.blockdevAdd(session, { ...nodes.format, 'node-name': formatName, file: fileName }),
  ]);
  // The node keeps a descriptor of its own; the set would keep the file open for ever (QEMU 7.2).
  await commands.removeFd(session, { set });
  if (made.ok) return success(medium);
  await dropNodes(session, medium);
  return monitorFailure(machine, made);
}

async function inOrder(
  steps: readonly (() => Promise<CommandResult<unknown>>)[],
): Promise<CommandResult<unknown>> {
  for (const step of steps) {
    const done = await step();
    if (!done.ok) return done;
  }
  return { ok: true, value: true };
}

async function dropNodes(session: QmpSession, { nodes }: Medium): Promise<void> {
  for (const node of nodes) await commands.blockdevDel(session, { node });
}

/** A guest that uses the disc is asked for it by the first command, which succeeds meanwhile (QEMU's block-core.json). */
async function takeOut({ machine, session, change: { drive, force } }: Work): Promise<Outcome<undefined>> {
  const opened = await commands.openTray(session, { drive, force });
  if (!opened.ok) return monitorFailure(machine, opened);
  const giveUpAt = performance.now() + trayMs;
  for (;;) {
    const now = await findDrive(machine, session, drive);
    if (!now.ok) return now;
    if (now.value.trayOpen) break;
    if (performance.now() >= giveUpAt)
      return failure(
        'media-locked',
        `the guest of machine "${machine.name}" keeps the disc in drive "${drive}": it was asked for it, and did not let it out within ${trayMs / 1000} s`,
        'unmount it in the guest, or take it out with --force',
      );
    await wait(trayPollMs);
  }
  const removed = await commands.removeMedium(session, { drive });
  return removed.ok ? success(undefined) : monitorFailure(machine, removed);
}
