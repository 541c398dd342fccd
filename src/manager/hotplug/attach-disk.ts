/**
 * A disk is given to a machine that runs. It is planned as for a start, by the same code, and opened by the same rules; where a step
 * fails, those before it are undone.
 */
import { randomBytes } from 'node:crypto';
import { optionsOf, type Options } from '../../plan/launched-options.ts';
import { plannedDisk, type PlannedDisk } from '../../plan/planned-disk.ts';
import type { DiskDefinition } from '../../definition/schema.ts';
import type { LaunchRequest } from '../../protocol/launch.ts';
import type { CommandFailure, CommandResult } from '../../qmp/command-result.ts';
import { commands } from '../../qmp/commands.ts';
import { monitorFailure } from '../lifecycle/give-file.ts';
import { isLock } from '../lifecycle/locked-image.ts';
import { lookAtWalls } from '../lifecycle/look-at-walls.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Planned } from '../planner.ts';
import { beyondRun } from './beyond-run.ts';
import { dropParts, settleDisks } from './drop-disk.ts';
import { addNode, giveFiles, namedLayers } from './give-image.ts';
import type { Attached } from './hotplug.ts';
import { planAlone, placeIn } from './plan-alone.ts';
import { workAlone, type HotplugServices, type Work } from './hotplug-services.ts';

export async function attachDisk(
  services: HotplugServices,
  machine: Machine,
  disk: DiskDefinition,
): Promise<Outcome<Attached>> {
  return await workAlone(services, machine, (work) => attach(work, disk));
}

async function attach(work: Work, disk: DiskDefinition): Promise<Outcome<Attached>> {
  const { services, machine, session } = work;
  if (await settleDisks(work, session)) await machine.life.keepNote();
  const planned = await planDisk(work, disk);
  if (!planned.ok) return planned;
  const placed = place(work, disk, planned.value);
  if (!placed.ok) return placed;
  const given = await give(work, planned.value, placed.value);
  await machine.life.keepNote();
  if (!given.ok) return given;
  // SECURITY: promise 2. Just what was planned is open.
  const walls = await lookAtWalls(services, machine, `disk "${disk.id}" was attached`);
  return walls.ok ? given : walls;
}

interface PlannedAlone extends PlannedDisk {
  readonly launch: LaunchRequest;
}

async function planDisk(work: Work, disk: DiskDefinition): Promise<Outcome<PlannedAlone>> {
  const { services, machine, record, run } = work;
  const { definition, metadata } = record;
  const taken = new Set(run.hotplug.devices.map((device) => device['id']));
  if (taken.has(disk.id))
    return failure(
      'request-invalid',
      `machine "${machine.name}" has a device "${disk.id}" already`,
      'choose another id; `qward attach NAME` shows the disks',
    );
  const planned = await planAlone(work, { disks: [disk] });
  if (!planned.ok) return planned;
  const twice = usedTwice(disk, planned.value, run.openFiles);
  if (twice !== undefined)
    return failure(
      'image-locked',
      `disk "${disk.id}": "${twice}" is in use by machine "${machine.name}" itself`,
      'an image is one disk at a time',
    );
  const { launch } = planned.value.plan;
  const beyond = beyondRun({ what: 'disk', id: disk.id }, launch, run.launched.launch);
  if (beyond.length > 0) return { ok: false, faults: beyond };
  const others = run.hotplug.disks.flatMap(({ id, attached, files }) =>
    attached && files.some(({ access }) => access === 'rw')
      ? [{ ...disk, id, path: files.find(({ access }) => access === 'rw')?.path ?? '' }]
      : [],
  );
  const admitted = await services.quotas.admitStart(metadata.owner, {
    ...definition,
    disks: [...definition.disks.filter(({ id }) => id !== disk.id), ...others, disk],
  });
  if (!admitted.ok) return admitted;
  const found = plannedDisk(launch, disk.id);
  if (found === undefined) throw new TypeError(`no disk was planned for ${disk.id}`);
  return success({ ...found, launch });
}

/** Of what is written. Images below it may be read by many. */
function usedTwice(
  { path, shared, readonly }: DiskDefinition,
  { files }: Planned,
  open: Planned['files'],
): string | undefined {
  const own = files[path];
  if (shared || readonly || own === undefined) return undefined;
  const same = Object.values(open).some(({ device, inode }) => device === own.device && inode === own.inode);
  return same ? path : undefined;
}

function place(work: Work, disk: DiskDefinition, { device }: PlannedAlone): Outcome<Options> {
  const { machine, run } = work;
  const taken = run.hotplug.devices.some(
    (one) => one['bus'] === device['bus'] && one['scsi-id'] === device['scsi-id'] && disk.unit !== undefined,
  );
  if (disk.bus === 'scsi' && taken)
    return failure(
      'request-invalid',
      `disk "${disk.id}" was not attached to machine "${machine.name}": SCSI id ${disk.unit} is taken`,
      'leave `unit` out, or choose another',
    );
  return placeIn(work, `disk "${disk.id}"`, device);
}

/** It is noted before QEMU hears of it: whatever is open then is expected by whoever looks. */
async function give(work: Work, planned: PlannedAlone, device: Options): Promise<Outcome<Attached>> {
  const { run, session, machine } = work;
  const prefix = `hot.${randomBytes(4).toString('hex')}`;
  const names = new Map(planned.nodes.map((node, index) => [node['node-name'], `${prefix}.${index}`]));
  const groups = newGroups(work, planned);
  const wanted: Attached = {
    id: String(device['id']),
    device: { ...device, drive: names.get(String(device['drive'])) },
    nodes: [...names.values()],
    groups: groups.map(({ id }) => String(id)),
    netdevs: [],
    card: null,
    layers: [],
    files: [...planned.sets.values()].flat().map(({ file }) => ({ file, identity: undefined })),
  };
  run.hotplug.attach(wanted);
  const kept = await machine.life.keepNote();
  if (!kept.ok) {
    run.hotplug.detach(wanted.id);
    return kept;
  }
  const given = await giveFiles(work, planned);
  const layers = namedLayers(planned, { names, sets: given.sets });
  const disk = { ...wanted, files: given.files, layers };
  run.hotplug.attach(disk);
  const made = given.fault ?? (await make(work, { planned, groups, disk, sets: given.sets, names }));
  // A node keeps descriptors of its own; a set would keep the file, and its locks, for ever (QEMU 7.2).
  for (const set of given.sets.values()) await commands.removeFd(session, { set });
  if (made === undefined) return success(disk);
  await dropParts(session, disk);
  run.hotplug.detach(disk.id);
  return made;
}

/** Disks of one group share its limits: it may be there already. */
function newGroups({ run }: Work, { groups }: PlannedAlone): readonly Options[] {
  const there = new Set<unknown>([
    ...optionsOf(run.launched.launch, '-object').map(({ id }) => id),
    ...run.hotplug.disks.flatMap((disk) => disk.groups),
  ]);
  return groups.filter(({ id }) => !there.has(id));
}

type Failure = ReturnType<typeof failure>;

interface Making {
  readonly planned: PlannedAlone;
  readonly groups: readonly Options[];
  readonly disk: Attached;
  readonly sets: ReadonlyMap<string, number>;
  readonly names: ReadonlyMap<string, string>;
}

/** Undefined: all of it is there. */
async function make(work: Work, making: Making): Promise<Outcome<never> | undefined> {
  const { session } = work;
  const { planned, groups, disk, sets, names } = making;
  const steps: (() => Promise<CommandResult<unknown>>)[] = [
    ...groups.map((group) => () => commands.objectAdd(session, group)),
    ...planned.nodes.map((node) => () => addNode(session, node, { names, sets })),
    () => commands.deviceAdd(session, disk.device),
  ];
  for (const step of steps) {
    const result = await step();
    if (!result.ok) return explain(work, disk, result);
  }
  return undefined;
}

function explain({ services, machine }: Work, { id, files }: Attached, result: CommandFailure): Failure {
  if (!isLock(result.message))
    return monitorFailure(machine, {
      ...result,
      message: `disk "${id}" was not attached: ${result.message}`,
    });
  const held = files.find(({ file }) => file.access === 'rw') ?? files[0];
  const path = held?.file.path ?? '';
  const holder =
    held?.identity === undefined ? undefined : services.holderOf(machine.name, held.identity, path);
  return failure(
    'image-locked',
    `disk "${id}" was not attached to machine "${machine.name}": image "${path}" is in use by ${holder === undefined ? 'another process' : `machine "${holder}"`}`,
    holder === undefined
      ? `stop the other user of the image; \`fuser -v ${path}\` shows who has it open`
      : `stop machine "${holder}" first: \`qward stop ${holder}\``,
  );
}
