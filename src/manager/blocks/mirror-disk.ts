/** A disk of a running machine moves into another image: copied while the guest works, and put in the place of the old one. */
import { randomBytes } from 'node:crypto';
import { imagesOf } from '../../definition/set-images.ts';
import { blockCommands } from '../../qmp/block-commands.ts';
import { settleDisks } from '../hotplug/drop-disk.ts';
import type { Attached } from '../hotplug/hotplug.ts';
import type { Work } from '../hotplug/hotplug-services.ts';
import { lookAtWalls } from '../lifecycle/look-at-walls.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { success, type Outcome } from '../outcome.ts';
import { untilJob } from './block-job.ts';
import {
  beginBlockWork,
  blockFailure,
  findDisk,
  usedElsewhere,
  type BlockCall,
  type BlockServices,
} from './block-services.ts';
import { noteImages, openImages, planImage, type NewImage, type OpenedImage } from './new-image.ts';
import { settleWork } from './settle-blocks.ts';
import { swapImages, type SwapOrder } from './swap-images.ts';

export interface MirrorOrder {
  readonly disk: string;
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
  readonly speed: number;
}

/** Gives the image that the disk had. */
export async function mirrorDisk(
  services: BlockServices,
  machine: Machine,
  order: MirrorOrder,
  call: BlockCall,
): Promise<Outcome<string>> {
  const begun = await beginBlockWork(services, machine, (work) => begin(work, services, order, call));
  if (!begun.ok) return begun;
  const { swap, session, run } = begun.value;
  const signal = AbortSignal.any([call.signal, run.released]);
  return await machine.working('mirroring', async (onProgress) => {
    const ready = await untilJob(session, begun.value.job, 'ready', { signal, onProgress });
    if (!ready.ok) {
      await run.media.alone(() => settleWork(services, machine, session));
      return blockFailure(
        machine.name,
        `disk "${order.disk}" was not copied to ${order.path}`,
        ready.message,
      );
    }
    onProgress(100);
    const swapped = await swapImages(services, machine, begun.value);
    if (!swapped.ok) return swapped;
    // SECURITY: promise 2. Of the image before nothing is open any more.
    const walls = await lookAtWalls(services, machine, `disk "${order.disk}" has another image`);
    return walls.ok ? success(swap.changes[0]?.definition.from.path ?? '') : walls;
  });
}

async function begin(
  work: Work,
  services: BlockServices,
  { disk: id, path, format, speed }: MirrorOrder,
  { identity }: BlockCall,
): Promise<Outcome<SwapOrder>> {
  const { machine, session } = work;
  if (await settleDisks(work, session)) await machine.life.keepNote();
  const found = findDisk(work, id);
  if (!found.ok) return found;
  const elsewhere = usedElsewhere(services, identity, path);
  if (!elsewhere.ok) return elsewhere;
  const job = `copy.${randomBytes(4).toString('hex')}`;
  const images = { path, format, backing: [] } as const;
  const planned = await planImage(work, found.value, images, job);
  if (!planned.ok) return planned;
  const admitted = await services.definitions.checkImages(identity, machine, [[id, images]]);
  if (!admitted.ok) return admitted;
  const image = planned.value;
  const noted = await noteImages(work, 'mirroring', [image]);
  if (!noted.ok) return noted;
  const begun = await copy(work, image, { job, speed });
  const walls = begun.ok ? await lookAtWalls(services, machine, `disk "${id}" is being copied`) : begun;
  if (begun.ok && walls.ok) return begun;
  await settleWork(services, machine, session);
  return walls.ok ? begun : walls;
}

async function copy(
  work: Work,
  image: NewImage,
  { job, speed }: { readonly job: string; readonly speed: number },
): Promise<Outcome<SwapOrder>> {
  const { machine, session, run } = work;
  const opened = await openImages(work, [image]);
  if (!opened.ok) return opened;
  const [one] = opened.value.opened;
  if (one === undefined) throw new TypeError('an image was not opened');
  const { found, layer } = one;
  const begun = await blockCommands.mirror(session, {
    job,
    top: String(found.there.device['drive']),
    replaces: found.there.layers[0]?.node ?? '',
    target: layer.node,
    speed,
  });
  return begun.ok
    ? success({ run, session, job, work: opened.value.noted, swap: swapOf(one) })
    : blockFailure(machine.name, `disk "${found.there.id}" was not copied`, begun.message);
}

/** What the disk is when the copy has taken its place. */
function swapOf({ found, images, files, layer, nodes }: OpenedImage): SwapOrder['swap'] {
  const { there } = found;
  const old = new Set(there.layers.flatMap((one) => [one.node, one.file]));
  const after: Attached = {
    id: there.id,
    device: {
      ...there.device,
      ...(there.device['drive'] === there.layers[0]?.node ? { drive: layer.node } : {}),
    },
    nodes: [...nodes, ...there.nodes.filter((node) => !old.has(node))],
    groups: there.groups,
    netdevs: [],
    files,
    card: null,
    layers: [layer],
  };
  return {
    changes: [{ after, definition: { from: imagesOf(found.images), to: images } }],
    sign: { node: layer.node, usedBy: 'after' },
    left: there.nodes.filter((node) => old.has(node)),
    leftFiles: there.held,
  };
}
