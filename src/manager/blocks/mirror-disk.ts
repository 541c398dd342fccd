/** A disk of a running machine moves into another image: copied while the guest works, and put in the place of the old one. */
import { randomBytes } from 'node:crypto';
import { imagesOf, type DiskImages } from '../../definition/set-images.ts';
import { plannedDisk, type PlannedDisk } from '../../plan/planned-disk.ts';
import { blockCommands } from '../../qmp/block-commands.ts';
import { commands } from '../../qmp/commands.ts';
import { beyondRun } from '../hotplug/beyond-run.ts';
import { settleDisks } from '../hotplug/drop-disk.ts';
import { addNode, giveFiles, namedLayers } from '../hotplug/give-image.ts';
import type { Attached } from '../hotplug/hotplug.ts';
import type { Work } from '../hotplug/hotplug-services.ts';
import { planAlone } from '../hotplug/plan-alone.ts';
import { lookAtWalls } from '../lifecycle/look-at-walls.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { success, type Outcome } from '../outcome.ts';
import { untilJob } from './block-job.ts';
import {
  beginBlockWork,
  blockFailure,
  findDisk,
  noteWork,
  usedElsewhere,
  type BlockCall,
  type BlockServices,
  type DiskThere,
} from './block-services.ts';
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
    return walls.ok ? success(swap.definition?.from.path ?? '') : walls;
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
  const images: DiskImages = { path, format, backing: [] };
  const planned = await planImage(work, found.value, images);
  if (!planned.ok) return planned;
  const admitted = await services.definitions.checkImages(identity, machine, { disk: id, images });
  if (!admitted.ok) return admitted;
  return await copy(work, { found: found.value, planned: planned.value, images, speed, services });
}

/** The image alone, as a start would plan it, without limits and what else lies on top of it. */
export async function planImage(
  work: Work,
  { defined }: DiskThere,
  images: DiskImages,
): Promise<Outcome<PlannedDisk>> {
  const planned = await planAlone(work, {
    disks: [{ ...defined, ...imagesOf(images), backing: [...images.backing] }],
  });
  if (!planned.ok) return planned;
  const { launch } = planned.value.plan;
  const beyond = beyondRun({ what: 'disk', id: defined.id }, launch, work.run.launched.launch);
  if (beyond.length > 0) return { ok: false, faults: beyond };
  const whole = plannedDisk(launch, defined.id);
  if (whole === undefined) throw new TypeError(`no disk was planned for ${defined.id}`);
  const nodes = whole.nodes.filter(({ driver }) => /^(?:file|host_device|raw|qcow2)$/.test(String(driver)));
  return success({ ...whole, nodes, groups: [] });
}

interface Copying {
  readonly found: DiskThere;
  readonly planned: PlannedDisk;
  readonly images: DiskImages;
  readonly speed: number;
  readonly services: BlockServices;
}

/** The copy has begun, or nothing of it is left. */
async function copy(work: Work, copying: Copying): Promise<Outcome<SwapOrder>> {
  const { machine, session } = work;
  const { found, planned, services } = copying;
  const { id } = found.there;
  const tag = randomBytes(4).toString('hex');
  const names = new Map(planned.nodes.map((node, index) => [node['node-name'], `copy.${tag}.${index}`]));
  const nodes = [...names.values()];
  // One that is written from the start needs no other descriptor later.
  const written = new Map(
    [...planned.sets].map(([set, members]) => [set, members.filter(({ file }) => file.access === 'rw')]),
  );
  const asked = [...written.values()].flat().map(({ file }) => ({ file, identity: undefined }));
  await noteWork(work, { disk: id, doing: 'mirroring', nodes, files: asked, swap: null });
  const given = await giveFiles(work, { sets: written });
  const noted = { disk: id, doing: 'mirroring', nodes, files: given.files, swap: null } as const;
  await noteWork(work, noted);
  const order = orderOf(work, copying, { names, sets: given.sets }, { job: `copy.${tag}`, noted });
  const fault = given.fault ?? (await start(work, copying, { names, sets: given.sets }, order));
  for (const set of given.sets.values()) await commands.removeFd(session, { set });
  if (fault !== undefined) {
    await settleWork(services, machine, session);
    return fault;
  }
  const walls = await lookAtWalls(services, machine, `disk "${id}" is being copied`);
  if (walls.ok) return success(order);
  await settleWork(services, machine, session);
  return walls;
}

interface Named {
  readonly names: ReadonlyMap<string, string>;
  readonly sets: ReadonlyMap<string, number>;
}

/** What the disk is when the copy has taken its place. */
function orderOf(
  { run, session }: Work,
  { found, planned, images }: Copying,
  named: Named,
  { job, noted }: Pick<SwapOrder, 'job'> & { readonly noted: SwapOrder['work'] },
): SwapOrder {
  const { there } = found;
  const before = there.layers[0];
  const [top] = namedLayers(planned, named);
  if (before === undefined || top === undefined) throw new TypeError(`disk ${there.id} has no image`);
  const old = new Set(there.layers.flatMap(({ node, file }) => [node, file]));
  const after: Attached = {
    id: there.id,
    device: { ...there.device, ...(there.device['drive'] === before.node ? { drive: top.node } : {}) },
    nodes: [...noted.nodes, ...there.nodes.filter((node) => !old.has(node))],
    groups: there.groups,
    netdevs: [],
    files: noted.files,
    card: null,
    layers: [top],
  };
  return {
    run,
    session,
    job,
    work: noted,
    swap: {
      after,
      definition: { from: imagesOf(found.images), to: images },
      sign: { node: top.node, usedBy: 'after' },
      left: there.nodes.filter((node) => old.has(node)),
      leftFiles: there.held,
    },
  };
}

async function start(
  { machine, session }: Work,
  { found, planned, speed }: Copying,
  named: Named,
  { job, swap }: SwapOrder,
): Promise<Outcome<never> | undefined> {
  const { there } = found;
  const failed = (message: string): Outcome<never> =>
    blockFailure(machine.name, `disk "${there.id}" was not copied`, message);
  for (const node of planned.nodes) {
    const more = 'filename' in node ? { 'auto-read-only': false } : {};
    const added = await addNode(session, node, named, more);
    if (!added.ok) return failed(added.message);
  }
  const sizes = await blockCommands.queryNodeSizes(session);
  if (!sizes.ok) return failed(sizes.message);
  const size = (node: string): number | undefined => sizes.value.find((one) => one.node === node)?.size;
  const [wanted, got] = [size(there.layers[0]?.node ?? ''), size(swap.sign.node)];
  if (wanted === undefined || wanted !== got)
    return failed(`it has ${wanted} bytes, and the image that is to take its place ${got}`);
  const begun = await blockCommands.mirror(session, {
    job,
    top: String(there.device['drive']),
    replaces: there.layers[0]?.node ?? '',
    target: swap.sign.node,
    speed,
  });
  return begun.ok ? undefined : failed(begun.message);
}
