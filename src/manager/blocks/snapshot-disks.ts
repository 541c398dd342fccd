/** An overlay for each disk of a running machine, all at the same moment: what was written before stays below, as it was then. */
import { randomBytes } from 'node:crypto';
import type { DiskImages } from '../../definition/set-images.ts';
import { blockCommands } from '../../qmp/block-commands.ts';
import { commands } from '../../qmp/commands.ts';
import { settleDisks } from '../hotplug/drop-disk.ts';
import type { Attached } from '../hotplug/hotplug.ts';
import type { Work } from '../hotplug/hotplug-services.ts';
import { lookAtWalls } from '../lifecycle/look-at-walls.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { success, type Outcome } from '../outcome.ts';
import {
  beginBlockWork,
  blockFailure,
  noteWork,
  type BlockCall,
  type BlockServices,
} from './block-services.ts';
import { freshSet, withFresh } from './fresh-layers.ts';
import { whileFrozen } from './frozen.ts';
import { noteImages, openImages, planImages, type NewImage, type OpenedImage } from './new-image.ts';
import { settleWork } from './settle-blocks.ts';

export interface SnapshotOrder {
  readonly disks: readonly { readonly disk: string; readonly path: string }[];
}

/** A definition takes 16 images below one. */
const mostBelow = 16;

/** Gives whether the file systems of the guest were at rest. */
export async function snapshotDisks(
  services: BlockServices,
  machine: Machine,
  order: SnapshotOrder,
  call: BlockCall,
): Promise<Outcome<boolean>> {
  let frozen = false;
  const done = await machine.hold(() =>
    beginBlockWork(services, machine, async (work) => {
      const taken = await take(work, services, order, call);
      if (!taken.ok) return taken;
      frozen = taken.value;
      const walls = await lookAtWalls(services, machine, 'its disks got a snapshot');
      return walls.ok ? success('made') : walls;
    }),
  );
  return done.ok ? success(frozen) : done;
}

async function take(
  work: Work,
  services: BlockServices,
  { disks }: SnapshotOrder,
  { identity }: BlockCall,
): Promise<Outcome<boolean>> {
  const { machine, session } = work;
  if (await settleDisks(work, session)) await machine.life.keepNote();
  const tag = randomBytes(4).toString('hex');
  const planned = await planImages(work, services, {
    identity,
    disks,
    images: ({ there, images: { path: top, format, backing } }, path) => {
      const below = [{ path: top, format }, ...backing];
      if (below.length <= mostBelow) return success({ path, format: 'qcow2', backing: below });
      return blockFailure(
        machine.name,
        `disk "${there.id}" got no snapshot`,
        `it has ${below.length} images already`,
      );
    },
    tag: `over.${tag}`,
  });
  if (!planned.ok) return planned;
  const images = planned.value;
  const to = images.map((image): readonly [string, DiskImages] => [image.found.there.id, image.images]);
  const admitted = await services.definitions.checkImages(identity, machine, to);
  if (!admitted.ok) return admitted;
  const noted = await noteImages(work, 'snapshotting', images);
  if (!noted.ok) return noted;
  let frozen = false;
  const put = await putOnTop(work, services, images, (rests) => (frozen = rests));
  const settled = await settleWork(services, machine, session);
  if (!settled.ok) return settled;
  if (settled.value === 'done') return success(frozen);
  return put.ok ? blockFailure(machine.name, 'its disks got no snapshot', 'QEMU did not do it') : put;
}

async function putOnTop(
  work: Work,
  { definitions, broker }: BlockServices,
  images: readonly NewImage[],
  onFrozen: (frozen: boolean) => void,
): Promise<Outcome<undefined>> {
  const { machine, session, run } = work;
  const made = await openImages(work, images);
  if (!made.ok) return made;
  const { opened, noted } = made.value;
  const [first] = opened;
  if (first === undefined) return success(undefined);
  const below = opened.flatMap(({ found: { there } }) => {
    const [layer] = there.layers;
    return layer === undefined ? [] : [freshSet(there, layer)];
  });
  return await whileFrozen(machine, run, async (frozen) => {
    onFrozen(frozen);
    return await withFresh({ ...work, broker }, below, async () => {
      const status = await commands.queryStatus(session);
      if (!status.ok) return blockFailure(machine.name, 'its disks got no snapshot', status.message);
      const changes = opened.map((image) => ({
        after: afterOf(image),
        definition: { from: image.found.images, to: image.images },
      }));
      const sign = { node: first.layer.node, usedBy: 'after' as const };
      const swap = { changes, sign, left: [], leftFiles: [], paused: !status.value.running };
      const kept = await noteWork(work, { ...(run.hotplug.work ?? noted), swap });
      if (!kept.ok) return kept;
      // SECURITY: promise 7. An overlay that holds nothing shows what lies below: the definition may name it before it is written.
      const named = await definitions.putImages(
        machine,
        opened.map((image) => [image.found.there.id, image.images]),
      );
      if (!named.ok) return named;
      const pairs = opened.map(({ found, layer }) => ({
        node: found.there.layers[0]?.node ?? '',
        overlay: layer.node,
      }));
      const done = await blockCommands.overlay(session, { pairs });
      return done.ok
        ? success(undefined)
        : blockFailure(machine.name, 'its disks got no snapshot', done.message);
    });
  });
}

function afterOf({ found: { there }, files, layer, nodes }: OpenedImage): Attached {
  const images = new Set(there.layers.flatMap((one) => [one.node, one.file]));
  return {
    id: there.id,
    device: {
      ...there.device,
      ...(there.device['drive'] === there.layers[0]?.node ? { drive: layer.node } : {}),
    },
    nodes: [
      ...there.nodes.filter((node) => images.has(node)),
      ...nodes,
      ...there.nodes.filter((node) => !images.has(node)),
    ],
    groups: there.groups,
    netdevs: [],
    files: [...there.held, ...files],
    card: null,
    layers: [layer, ...there.layers],
  };
}
