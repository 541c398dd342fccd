/** The topmost image of a disk is written into the one below it while the guest works, and that one takes its place. */
import { randomBytes } from 'node:crypto';
import { imagesOf, type DiskImages } from '../../definition/set-images.ts';
import { cacheOptions } from '../../plan/block-nodes.ts';
import { blockCommands, type FormatNode } from '../../qmp/block-commands.ts';
import { settleDisks } from '../hotplug/drop-disk.ts';
import type { Attached, DeviceThere, Layer } from '../hotplug/hotplug.ts';
import type { Work } from '../hotplug/hotplug-services.ts';
import { lookAtWalls } from '../lifecycle/look-at-walls.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { untilJob } from './block-job.ts';
import {
  beginBlockWork,
  blockFailure,
  findDisk,
  noteWork,
  othersOf,
  type BlockCall,
  type BlockServices,
  type DiskThere,
} from './block-services.ts';
import { filesOfLayer, freshSet, withFresh } from './fresh-layers.ts';
import { settleWork } from './settle-blocks.ts';
import { swapImages, type SwapOrder } from './swap-images.ts';

export interface ChainOrder {
  readonly disk: string;
  readonly speed: number;
}

/** Gives the image that is not used any more. */
export async function commitDisk(
  services: BlockServices,
  machine: Machine,
  order: ChainOrder,
  call: BlockCall,
): Promise<Outcome<string>> {
  const begun = await beginBlockWork(services, machine, (work) => begin(work, services, order, call));
  if (!begun.ok) return begun;
  const { run, session, job, top } = begun.value;
  const signal = AbortSignal.any([call.signal, run.released]);
  return await machine.working('committing', async (onProgress) => {
    const ready = await untilJob(session, job, 'ready', { signal, onProgress });
    if (!ready.ok) {
      await run.media.alone(() => settleWork(services, machine, session));
      return blockFailure(machine.name, `disk "${order.disk}" was not committed`, ready.message);
    }
    const swapped = await swapImages(services, machine, begun.value);
    if (!swapped.ok) return swapped;
    // SECURITY: promise 2. Of the image that was on top nothing is open any more.
    const walls = await lookAtWalls(services, machine, `disk "${order.disk}" was committed`);
    return walls.ok ? success(top.path) : walls;
  });
}

async function begin(
  work: Work,
  services: BlockServices,
  { disk: id, speed }: ChainOrder,
  { identity }: BlockCall,
): Promise<Outcome<SwapOrder & { readonly top: Layer }>> {
  const { machine, session } = work;
  if (await settleDisks(work, session)) await machine.life.keepNote();
  const found = findDisk(work, id);
  if (!found.ok) return found;
  const { there } = found.value;
  const [top, base] = there.layers;
  if (top === undefined || base === undefined)
    return failure(
      'request-invalid',
      `disk "${id}" of machine "${machine.name}" has one image alone`,
      'there is nothing below it that it could be written into',
    );
  // SECURITY: promise 7. Whoever else stands on the image below would see its content change.
  const others = othersOf(services, machine, identity, base.path);
  if (others !== undefined)
    return failure(
      'image-locked',
      `"${base.path}" lies below disks of ${others} too`,
      'use `qward pull`, which leaves it as it is',
    );
  const to = withoutTop(found.value);
  const admitted = await services.definitions.checkImages(identity, machine, [[id, to]]);
  if (!admitted.ok) return admitted;
  const files = filesOfLayer(there, base);
  // Where it is given up QEMU opens the one below to read it again.
  const reopened = [freshSet(there, base)];
  const noted = { disk: id, doing: 'committing', nodes: [], files, swap: null, frozen: false } as const;
  const kept = await noteWork(work, { ...noted, reopened, base: baseOf(work, found.value, base) });
  if (!kept.ok) return kept;
  const job = `commit.${randomBytes(4).toString('hex')}`;
  const begun = await withFresh(
    { ...work, broker: services.broker },
    [freshSet(there, top), ...reopened],
    async () => {
      const device = String(there.device['drive']);
      const started = await blockCommands.commit(session, {
        job,
        device,
        top: top.node,
        base: base.node,
        speed,
      });
      return started.ok
        ? success(undefined)
        : blockFailure(machine.name, `disk "${id}" was not committed`, started.message);
    },
  );
  const walls = begun.ok ? await lookAtWalls(services, machine, `disk "${id}" is being committed`) : begun;
  if (!walls.ok) {
    await settleWork(services, machine, session);
    return walls;
  }
  return success({ ...orderOf(work, { found: found.value, job, top, base, to }), top });
}

/** As it was planned: see `diskNodes`. */
function baseOf({ run }: Work, { there: { id, layers }, defined }: DiskThere, base: Layer): FormatNode {
  const { cache, discard } = run.definition?.disks.find((disk) => disk.id === id) ?? defined;
  const { node, file, format } = base;
  return {
    node,
    file,
    format,
    backing: layers[layers.indexOf(base) + 1]?.node ?? null,
    cache: cacheOptions(cache),
    discard,
  };
}

function withoutTop({ images: { backing } }: DiskThere): DiskImages {
  const [next, ...below] = backing;
  if (next === undefined) throw new TypeError('there is nothing below');
  return { ...next, backing: below };
}

interface Committing {
  readonly found: DiskThere;
  readonly job: string;
  readonly top: Layer;
  readonly base: Layer;
  readonly to: DiskImages;
}

function orderOf({ run, session }: Work, { found, job, top, base, to }: Committing): SwapOrder {
  const { there } = found;
  const { work } = run.hotplug;
  if (work === undefined) throw new TypeError('nothing is under way');
  return {
    run,
    session,
    job,
    work,
    swap: {
      changes: [
        {
          after: withLayers(there, there.layers.slice(1), filesOfLayer(there, base)),
          definition: { from: imagesOf(found.images), to },
        },
      ],
      sign: { node: top.node, usedBy: 'before' },
      left: [top.file, top.node],
      leftFiles: filesOfLayer(there, top),
    },
  };
}

/** The disk with some of its images alone; `more` are files that it has in addition. */
export function withLayers(there: DeviceThere, layers: readonly Layer[], more: Attached['files']): Attached {
  const kept = new Set(layers.flatMap(({ node, file }) => [node, file]));
  const gone = new Set(
    there.layers.flatMap(({ node, file }) => [node, file]).filter((node) => !kept.has(node)),
  );
  const paths = new Set(layers.map(({ path }) => path));
  const drive = there.device['drive'] === there.layers[0]?.node ? { drive: layers[0]?.node } : {};
  return {
    id: there.id,
    device: { ...there.device, ...drive },
    nodes: there.nodes.filter((node) => !gone.has(node)),
    groups: there.groups,
    netdevs: [],
    files: [...there.held.filter(({ file }) => paths.has(file.path)), ...more],
    card: null,
    layers,
  };
}
