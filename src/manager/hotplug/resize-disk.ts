/** A disk of a machine that runs is made larger: QEMU changes the image, and tells the guest. */
import { commands } from '../../qmp/commands.ts';
import { deviceId } from '../media/change-medium.ts';
import { monitorFailure } from '../lifecycle/give-file.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { DeviceThere } from './hotplug.ts';
import { workAlone, type HotplugServices, type Work } from './hotplug-services.ts';

export interface ResizeOrder {
  readonly disk: string;
  /** Bytes that the guest is to see; with `more`, beyond those that it sees now. */
  readonly size: number;
  readonly more: boolean;
}

export interface Resized {
  readonly before: number;
  readonly size: number;
}

export async function resizeDisk(
  services: HotplugServices,
  machine: Machine,
  order: ResizeOrder,
): Promise<Outcome<Resized>> {
  return await workAlone(services, machine, (work) => resize(work, order));
}

/** Disks have sectors. */
const sector = 512;

async function resize(work: Work, { disk: id, size: asked, more }: ResizeOrder): Promise<Outcome<Resized>> {
  const { machine, run, session } = work;
  const refused = (message: string, hint: string): ReturnType<typeof failure> =>
    failure('request-invalid', `disk "${id}" of machine "${machine.name}" ${message}`, hint);
  const disk = run.hotplug.disk(id);
  if (disk === undefined)
    return refused('is not there', `it has: ${run.hotplug.disks.map((one) => one.id).join(', ') || 'none'}`);
  if (!disk.files.some(({ access }) => access === 'rw')) return refused('is read-only', 'resize its image');
  const drives = await commands.queryBlock(session);
  if (!drives.ok) return monitorFailure(machine, drives);
  const before = drives.value.find(({ device }) => deviceId(device) === id)?.size ?? null;
  if (before === null) return refused('has no size that QEMU tells', 'see `qward logs`');
  const size = more ? before + asked : asked;
  if (size % sector !== 0) return refused(`has sectors of ${sector} bytes`, 'give a multiple of them');
  if (size === before) return success({ before, size });
  // SECURITY: promise 7. What lies behind a smaller end is lost, and the guest uses it.
  if (size < before)
    return refused(
      `has ${before} bytes, and a running machine's disks are only made larger`,
      'stop the machine, then `qward disk resize --shrink`',
    );
  const within = await limitsOf(work, disk, { before, size });
  if (!within.ok) return within;
  const node = String(disk.device['drive']);
  const done = await commands.blockResize(session, { node, size });
  if (done.ok) return success({ before, size });
  return monitorFailure(machine, { ...done, message: `disk "${id}" was not resized: ${done.message}` });
}

/** An image can come to a tenth more than its size, as at a start (plan/limits.ts). */
const mostOf = (size: number): number => Math.ceil(size * 1.1);

async function limitsOf(
  { services, machine, run, record }: Work,
  { id, files }: DeviceThere,
  { before, size }: Resized,
): Promise<Outcome<void>> {
  const { fileSize } = run.launched.launch.limits;
  if (mostOf(size) > fileSize && !files.every(({ path }) => path.startsWith('/dev/')))
    return failure(
      'resources-short',
      `disk "${id}" was not resized: its image could come to ${mostOf(size)} bytes, and machine "${machine.name}" was started with files of ${fileSize} bytes at most, a limit that cannot be raised on a running process`,
      'set `limits: {fileSize: SIZE}` in the definition and start the machine anew, or stop it and use `qward disk resize`',
    );
  return await services.quotas.admitGrowth(record.metadata.owner, record.definition, size - before);
}
