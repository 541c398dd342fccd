/** New images for a running QEMU: opened to be written, as nodes that no disk uses yet. */
import type { BlockDoing } from '../../api/block-contract.ts';
import type { DiskImages } from '../../definition/set-images.ts';
import { setOf } from '../../plan/launched-options.ts';
import { plannedDisk, type PlannedDisk } from '../../plan/planned-disk.ts';
import { blockCommands } from '../../qmp/block-commands.ts';
import { commands } from '../../qmp/commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import { beyondRun } from '../hotplug/beyond-run.ts';
import { addNode, giveFiles, namedLayers, type Names } from '../hotplug/give-image.ts';
import type { Layer } from '../hotplug/hotplug.ts';
import type { Work } from '../hotplug/hotplug-services.ts';
import { planAlone } from '../hotplug/plan-alone.ts';
import type { HeldFile } from '../lifecycle/held-files.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Identity } from '../roles.ts';
import {
  blockFailure,
  findDisk,
  noteWork,
  usedElsewhere,
  type BlockServices,
  type DiskThere,
} from './block-services.ts';
import type { BlockWork } from './block-work.ts';

export interface NewImage {
  readonly found: DiskThere;
  readonly images: DiskImages;
  /** Its file and its format alone. */
  readonly planned: PlannedDisk;
  readonly names: ReadonlyMap<string, string>;
  readonly nodes: readonly string[];
}

/** Planned as for a start: the same faults, claims and limits. `tag` makes its names its own. */
export async function planImage(
  work: Work,
  found: DiskThere,
  images: DiskImages,
  tag: string,
): Promise<Outcome<NewImage>> {
  const { defined } = found;
  const { path, format, backing } = images;
  const planned = await planAlone(work, { disks: [{ ...defined, path, format, backing: [...backing] }] });
  if (!planned.ok) return planned;
  const { launch } = planned.value.plan;
  const beyond = beyondRun({ what: 'disk', id: defined.id }, launch, work.run.launched.launch);
  if (beyond.length > 0) return { ok: false, faults: beyond };
  const whole = plannedDisk(launch, defined.id);
  if (whole === undefined) throw new TypeError(`no disk was planned for ${defined.id}`);
  const top = topOf(whole);
  const names = new Map(top.nodes.map((node, index) => [node['node-name'], `${tag}.${index}`]));
  return success({ found, images, planned: top, names, nodes: [...names.values()] });
}

/** Without what lies below it, which QEMU has already, and without limits and what else lies on top. */
function topOf(whole: PlannedDisk): PlannedDisk {
  const format = whole.nodes.findLast(({ driver }) => driver === 'raw' || driver === 'qcow2');
  const file = whole.nodes.find((node) => node['node-name'] === format?.['file']);
  const set = file === undefined ? undefined : setOf(file);
  if (format === undefined || file === undefined || set === undefined)
    throw new TypeError(`no image was planned for ${String(whole.device['id'])}`);
  // One that is written from the start needs no other descriptor later.
  const members = (whole.sets.get(set) ?? []).filter((one) => one.file.access === 'rw');
  const above = 'backing' in format ? { ...format, backing: null } : format;
  return { ...whole, nodes: [file, above], groups: [], sets: new Map([[set, members]]) };
}

/** What is asked of the broker for it. */
export const filesOfImage = ({ planned }: NewImage): readonly HeldFile[] =>
  [...planned.sets.values()].flat().map(({ file }) => ({ file, identity: undefined }));

export interface OpenedImage extends NewImage {
  readonly files: readonly HeldFile[];
  readonly layer: Layer;
}

export interface ImagesOrder {
  readonly identity: Identity;
  readonly disks: readonly { readonly disk: string; readonly path: string }[];
  /** What each disk is to have. */
  readonly images: (found: DiskThere, path: string) => Outcome<DiskImages>;
  readonly tag: string;
}

/** Each disk with a new image of its own, which nobody has. */
export async function planImages(
  work: Work,
  services: BlockServices,
  { identity, disks, images, tag }: ImagesOrder,
): Promise<Outcome<readonly NewImage[]>> {
  const all: NewImage[] = [];
  for (const [index, { disk, path }] of disks.entries()) {
    const found = findDisk(work, disk);
    if (!found.ok) return found;
    if (disks.findIndex((one) => one.disk === disk || one.path === path) !== index)
      return failure('request-invalid', `"${disk}" or "${path}" is named twice`, 'name each once');
    const elsewhere = usedElsewhere(services, identity, path);
    if (!elsewhere.ok) return elsewhere;
    const wanted = images(found.value, path);
    if (!wanted.ok) return wanted;
    const planned = await planImage(work, found.value, wanted.value, `${tag}.${index}`);
    if (!planned.ok) return planned;
    all.push(planned.value);
  }
  return success(all);
}

/** Noted before QEMU hears of them. */
export const noteImages = (
  work: Work,
  doing: BlockDoing,
  images: readonly NewImage[],
): Promise<Outcome<undefined>> =>
  noteWork(work, {
    disk: images.map(({ found }) => found.there.id).join(', '),
    doing,
    nodes: images.flatMap(({ nodes }) => nodes),
    files: images.flatMap(filesOfImage),
    swap: null,
    frozen: false,
  });

/** As `openImage`, all of them; their files are noted. */
export async function openImages(
  work: Work,
  images: readonly NewImage[],
): Promise<Outcome<{ readonly opened: readonly OpenedImage[]; readonly noted: BlockWork }>> {
  const opened: OpenedImage[] = [];
  for (const image of images) {
    const one = await openImage(work, image);
    if (!one.ok) return one;
    opened.push(one.value);
  }
  const before = work.run.hotplug.work;
  if (before === undefined) throw new TypeError('nothing is under way');
  const noted = { ...before, files: opened.flatMap(({ files }) => files) };
  const kept = await noteWork(work, noted);
  return kept.ok ? success({ opened, noted }) : kept;
}

/** Its nodes are noted before, and are the caller's to drop where it fails. The guest sees as many bytes as of the disk. */
async function openImage(work: Work, image: NewImage): Promise<Outcome<OpenedImage>> {
  const { session, machine } = work;
  const { planned, names, found } = image;
  const given = await giveFiles(work, planned);
  const made = given.fault ?? (await addNodes(work, image, { names, sets: given.sets }));
  for (const set of given.sets.values()) await commands.removeFd(session, { set });
  if (made !== undefined) return made;
  const [layer] = namedLayers(planned, { names, sets: given.sets });
  if (layer === undefined) throw new TypeError(`disk ${found.there.id} has no image`);
  const same = await sameSize(session, [found.there.layers[0]?.node ?? '', layer.node]);
  return same === undefined
    ? success({ ...image, files: given.files, layer })
    : blockFailure(machine.name, `${image.images.path} is of no use for disk "${found.there.id}"`, same);
}

async function addNodes(
  { session, machine }: Work,
  { planned, images }: NewImage,
  named: Names,
): Promise<Outcome<never> | undefined> {
  for (const node of planned.nodes) {
    const more = 'filename' in node ? { 'auto-read-only': false } : {};
    const added = await addNode(session, node, named, more);
    if (!added.ok) return blockFailure(machine.name, `${images.path} was not opened`, added.message);
  }
  return undefined;
}

async function sameSize(
  session: QmpSession,
  [old, fresh]: readonly [string, string],
): Promise<string | undefined> {
  const sizes = await blockCommands.queryNodeSizes(session);
  if (!sizes.ok) return sizes.message;
  const [wanted, got] = [old, fresh].map((node) => sizes.value.find((one) => one.node === node)?.size);
  return wanted !== undefined && wanted === got
    ? undefined
    : `the disk has ${wanted} bytes, and the image ${got}`;
}
