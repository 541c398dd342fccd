/** Disks of a running machine are copied as they are at one moment, while its guest goes on; later only what was written since. */
import { randomBytes } from 'node:crypto';
import { blockCommands } from '../../qmp/block-commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import { settleDisks } from '../hotplug/drop-disk.ts';
import type { Work } from '../hotplug/hotplug-services.ts';
import { lookAtWalls } from '../lifecycle/look-at-walls.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Run } from '../lifecycle/run.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { bitmapPrefix, type Backup, type BackupRegister } from './backup-register.ts';
import { untilJob } from './block-job.ts';
import {
  beginBlockWork,
  blockFailure,
  type BlockCall,
  type BlockServices,
  type DiskThere,
} from './block-services.ts';
import { whileFrozen } from './frozen.ts';
import { sizesOf, type SizedFile } from './image-sizes.ts';
import { filesOfImage, noteImages, openImages, planImages, type NewImage } from './new-image.ts';
import { settleWork } from './settle-blocks.ts';

export interface BackupServices extends BlockServices {
  readonly backups: BackupRegister;
}

export interface BackupOrder {
  readonly disks: readonly { readonly disk: string; readonly path: string }[];
  readonly incremental: boolean;
  readonly speed: number;
}

/** Jobs on images take so many below one. */
const mostBelow = 6;

interface Begun {
  readonly run: Run;
  readonly session: QmpSession;
  readonly jobs: readonly string[];
  readonly images: readonly NewImage[];
  /** Of each, as it was made. */
  readonly sizes: readonly number[];
  readonly backup: Backup;
  /** Records that end with it where it succeeds, and those that it made. */
  readonly old: readonly Record[];
  readonly made: readonly Record[];
}

interface Record {
  readonly node: string;
  readonly name: string;
}

export async function backUpDisks(
  services: BackupServices,
  machine: Machine,
  order: BackupOrder,
  call: BlockCall,
): Promise<Outcome<Backup>> {
  const begun = await beginBlockWork(services, machine, (work) => begin(work, services, order, call));
  if (!begun.ok) return begun;
  const { run, session, backup } = begun.value;
  const signal = AbortSignal.any([call.signal, run.released]);
  return await machine.working('backing up', async (onProgress) => {
    const fault = await untilAll(session, begun.value.jobs, { signal, onProgress });
    const kept = await run.media.alone(async () => {
      // SECURITY: promise 7. With its nodes closed it is on disk; only then it counts as a backup.
      const settled = await settleWork(services, machine, session);
      const added =
        fault === undefined && settled.ok ? await keep(services, machine, begun.value) : undefined;
      // SECURITY: promise 7. What was written since the backup before is known until this one is kept.
      await dropRecords(session, added?.ok === true ? begun.value.old : begun.value.made);
      return settled.ok ? added : settled;
    });
    if (fault !== undefined) return blockFailure(machine.name, 'it was not backed up', fault);
    if (kept?.ok === false) return kept;
    const walls = await lookAtWalls(services, machine, 'it was backed up');
    return walls.ok ? success(backup) : walls;
  });
}

/**
 * It counts from now on.
 * SECURITY: rule images. QEMU had the images to write: one that says another size now, or names another file, is no backup.
 */
async function keep(
  { broker, backups }: BackupServices,
  machine: Machine,
  { images, sizes, backup }: Begun,
): Promise<Outcome<void>> {
  const now = await sizesOf(broker, machine.name, images.flatMap(madeFile));
  if (!now.ok) return now;
  const other = images.find((_, index) => {
    const one = now.value[index];
    return one?.alone !== true || one.size !== sizes[index];
  });
  if (other === undefined) return await backups.add(machine.name, backup);
  return failure(
    'image-format',
    `machine "${machine.name}": ${other.images.path} is not as it was made: its header says another size, or names another file`,
    'QEMU wrote that: do not trust the machine; `qward audit` and `qward kill` it',
  );
}

const madeFile = (image: NewImage): readonly SizedFile[] =>
  filesOfImage(image)
    .slice(0, 1)
    .map(({ file }) => ({ file, format: 'qcow2' as const }));

/** SECURITY: rule images. Of the size that the file of the disk itself says: what QEMU says of it is no bound. */
async function sizesOfNew(
  { broker }: BackupServices,
  { name }: Machine,
  images: readonly NewImage[],
): Promise<Outcome<readonly number[]>> {
  const made = await sizesOf(broker, name, images.flatMap(madeFile));
  if (!made.ok) return made;
  const tops = images.flatMap(({ found: { there } }) => {
    const [top] = there.layers;
    const held = there.held.find(({ file }) => file.path === top?.path);
    return top === undefined || held === undefined ? [] : [{ file: held.file, format: top.format }];
  });
  const disks = await sizesOf(broker, name, tops);
  if (!disks.ok) return disks;
  for (const [index, { images: to, found }] of images.entries()) {
    const [size, wanted] = [made.value[index]?.size, disks.value[index]?.size];
    if (size !== wanted)
      return blockFailure(
        name,
        `disk "${found.there.id}" was not backed up`,
        `${to.path} has ${size} bytes, and the image of the disk ${wanted}`,
      );
  }
  return success(made.value.map(({ size }) => size));
}

async function untilAll(
  session: QmpSession,
  jobs: readonly string[],
  { signal, onProgress }: { readonly signal: AbortSignal; readonly onProgress: (percent: number) => void },
): Promise<string | undefined> {
  for (const [index, job] of jobs.entries()) {
    const ended = await untilJob(session, job, 'ended', {
      signal,
      onProgress: (percent) => onProgress((100 * index + percent) / jobs.length),
    });
    if (!ended.ok) return ended.message;
  }
  return undefined;
}

async function dropRecords(session: QmpSession, records: readonly Record[]): Promise<void> {
  for (const record of records) await blockCommands.removeBitmap(session, record);
}

async function begin(
  work: Work,
  services: BackupServices,
  { disks, incremental, speed }: BackupOrder,
  { identity }: BlockCall,
): Promise<Outcome<Begun>> {
  const { machine, session, run } = work;
  if (await settleDisks(work, session)) await machine.life.keepNote();
  const id = randomBytes(6).toString('hex');
  const planned = await planImages(work, services, {
    identity,
    disks,
    images: (_found, path) => success({ path, format: 'qcow2', backing: [] }),
    tag: `copy.${id}`,
  });
  if (!planned.ok) return planned;
  const images = planned.value;
  const records = await recordsOf(services, work, { images, incremental });
  if (!records.ok) return records;
  const sizes = await sizesOfNew(services, machine, images);
  if (!sizes.ok) return sizes;
  const noted = await noteImages(work, 'backing up', images);
  if (!noted.ok) return noted;
  const started = await start(work, { id, images, ...records.value, speed });
  if (!started.ok) {
    await settleWork(services, machine, session);
    await dropRecords(session, madeRecords(id, images));
    return started;
  }
  const { frozen } = started.value;
  const at = services.now().toISOString();
  const backup = { id, at, by: identity.user, frozen, disks: records.value.disks };
  const made = madeRecords(id, images);
  const { jobs } = started.value;
  return success({ run, session, jobs, images, sizes: sizes.value, backup, old: records.value.old, made });
}

/** A raw image has no place for one. */
const madeRecords = (id: string, images: readonly NewImage[]): readonly Record[] =>
  images.flatMap(({ found }) => {
    const [top] = found.there.layers;
    return top?.format === 'qcow2' ? [{ node: top.node, name: `${bitmapPrefix}${id}` }] : [];
  });

interface Known {
  /** Of qward's: they end when the backup is kept. */
  readonly old: readonly Record[];
  /** What was written since the last backup, by disk; empty: all is copied. */
  readonly since: ReadonlyMap<string, string>;
  readonly disks: Backup['disks'];
}

/** From what each disk is copied, and what is known of writes since. */
async function recordsOf(
  { backups }: BackupServices,
  { machine, session }: Work,
  { images, incremental }: { readonly images: readonly NewImage[]; readonly incremental: boolean },
): Promise<Outcome<Known>> {
  const listed = await backups.list(machine.name);
  if (!listed.ok) return listed;
  const bitmaps = await blockCommands.queryBitmaps(session);
  if (!bitmaps.ok) return blockFailure(machine.name, 'it was not backed up', bitmaps.message);
  const nodes = new Set(images.map(({ found }) => found.there.layers[0]?.node));
  const own = bitmaps.value.filter(({ node, name }) => nodes.has(node) && name.startsWith(bitmapPrefix));
  const whole = images.map(({ found, images: { path } }) => ({ disk: found.there.id, path, onto: [] }));
  if (!incremental) return success({ old: own, since: new Map(), disks: whole });
  const since = new Map<string, string>();
  const disks: Backup['disks'][number][] = [];
  for (const {
    found,
    images: { path },
  } of images) {
    const { id, layers } = found.there;
    const last = listed.value.findLast((backup) => backup.disks.some(({ disk }) => disk === id));
    const before = last?.disks.find(({ disk }) => disk === id);
    const record = own.find(
      ({ node, name }) => node === layers[0]?.node && name === `${bitmapPrefix}${last?.id}`,
    );
    const deep = before === undefined ? 0 : before.onto.length + 1;
    const why =
      deep > mostBelow
        ? `it would stand on ${deep} backups`
        : whyWhole(found, { before: before !== undefined, record });
    if (why !== undefined || before === undefined || record === undefined)
      return failure(
        'block-failed',
        `machine "${machine.name}": disk "${id}" was not backed up: ${why ?? ''}`,
        'make a whole backup, without --incremental: those after it can be incremental',
      );
    since.set(id, record.name);
    disks.push({ disk: id, path, onto: [before.path, ...before.onto] });
  }
  return success({ old: own, since, disks });
}

function whyWhole(
  { there }: DiskThere,
  { before, record }: { readonly before: boolean; readonly record: { readonly broken: boolean } | undefined },
): string | undefined {
  if (there.layers[0]?.format !== 'qcow2')
    return 'its image is raw, which has no place for a record of what is written; only qcow2 has';
  if (!before) return 'there is no backup of it yet';
  if (record === undefined)
    return 'what was written since the last backup is not known: it got another image, or its machine was killed';
  return record.broken ? 'the record of what was written is damaged: its machine was killed' : undefined;
}

interface Starting extends Pick<Known, 'since'> {
  readonly id: string;
  readonly images: readonly NewImage[];
  readonly speed: number;
}

/** All disks as of one moment. */
async function start(
  work: Work,
  { id, images, since, speed }: Starting,
): Promise<Outcome<{ readonly jobs: readonly string[]; readonly frozen: boolean }>> {
  const { machine, session, run } = work;
  const opened = await openImages(work, images);
  if (!opened.ok) return opened;
  return await whileFrozen(machine, run, async (frozen) => {
    const begun = await blockCommands.backUp(session, {
      records: madeRecords(id, images),
      jobs: opened.value.opened.map(({ found, layer }, index) => ({
        job: `copy.${id}.${index}`,
        node: found.there.layers[0]?.node ?? '',
        target: layer.node,
        since: since.get(found.there.id),
      })),
      speed,
    });
    return begun.ok
      ? success({ jobs: images.map((_, index) => `copy.${id}.${index}`), frozen })
      : blockFailure(machine.name, 'it was not backed up', begun.message);
  });
}
