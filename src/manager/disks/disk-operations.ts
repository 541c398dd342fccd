/** What each call about images does, step by step. */
import type { z } from 'zod';
import type { DiskCheck, DiskImage, diskRoutes } from '../../api/disk-contract.ts';
import { formatByteSize } from '../../definition/byte-size.ts';
import { importFormats, type JobImage } from '../../plan/disk-job.ts';
import { aloneFaults, chainFaults, outsideFaults } from '../../plan/job-faults.ts';
import { mostSnapshots } from '../../plan/image-snapshots.ts';
import type { ImageHeader } from '../../plan/launch-plan.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { DiskWork, LayerInput } from './disk-work.ts';
import { parseImageCheck } from './image-report.ts';
import type { JobFacts, WantedFile } from './job-files.ts';
import { jsonIn } from './job-output.ts';

type Rows = typeof diskRoutes;
type Body<Name extends keyof Rows> = Rows[Name] extends { body: infer Schema extends z.ZodType }
  ? z.output<Schema>
  : never;
type ImageInput = Body<'diskResize'>['image'];
type Result = Promise<Outcome<DiskImage>>;

const named = (path: string, access: 'ro' | 'rw'): WantedFile => ({ path, access });
const read = (layers: readonly LayerInput[]): WantedFile[] => layers.map(({ path }) => named(path, 'ro'));

function imageOf(work: DiskWork, { backing, ...image }: ImageInput): JobImage {
  return { ...work.file(image), backing: backing.map((layer) => work.file(layer)) };
}

const headerIn =
  (headers: Readonly<Record<string, ImageHeader>>) =>
  (path: string): ImageHeader | undefined =>
    Object.hasOwn(headers, path) ? headers[path] : undefined;

/** Looks at an image with its chain; all of it is read, and the first `writable` are written. */
async function lookAtChain(work: DiskWork, image: JobImage, writable: number): Promise<Outcome<number>> {
  const chain = [image, ...image.backing];
  const wanted = chain.map(({ path }, depth) => named(path, depth < writable ? 'rw' : 'ro'));
  const looked = await work.look(wanted, ({ headers }) => chainFaults(image, headerIn(headers)));
  return looked.ok ? success(looked.value.headers[image.path]?.virtualSize ?? 0) : looked;
}

export async function diskInfo(work: DiskWork, { path, format, shared }: Body<'diskInfo'>): Result {
  let found: string = format ?? 'raw';
  const looked = await work.look(
    [named(path, 'ro')],
    ({ headers }) => {
      const header = headers[path];
      if (header === undefined) return [];
      if (format === undefined) found = header.format;
      // What lies below is not opened, and may be there.
      return outsideFaults(work.file({ path, format: 'raw' }), header.references);
    },
    shared,
  );
  if (!looked.ok) return looked;
  const known = importFormats.find((candidate) => candidate === found) ?? 'raw';
  return await work.info(work.file({ path, format: known }), { shared });
}

export async function diskCreate(work: DiskWork, body: Body<'diskCreate'>): Result {
  const { target, backing, preallocation } = body;
  const [nearest, ...others] = backing;
  if (nearest !== undefined && target.format === 'raw')
    return failure('request-invalid', 'a raw image has nothing below it', 'make it qcow2');
  let size = body.size;
  if (nearest !== undefined) {
    const below = await lookAtChain(work, imageOf(work, { ...nearest, backing: others }), 0);
    if (!below.ok) return below;
    size ??= below.value;
  }
  if (size === undefined || size === 0)
    return failure('request-invalid', 'the new image has no size', 'say one, such as 20GiB');
  const faults = work.sizeFaults(target.path, size);
  if (faults.length > 0) return { ok: false, faults };
  work.expect(size);
  const step = { do: 'create', size, preallocation, backing: nearest ?? null } as const;
  return await work.make(target, (made) => work.step({ ...step, target: made }, 'making the image'));
}

export async function diskConvert(work: DiskWork, body: Body<'diskConvert'>): Result {
  const image = imageOf(work, body.image);
  const looked = await lookAtChain(work, image, 0);
  if (!looked.ok) return looked;
  const step = { do: 'convert', image, compress: body.compress, rate: body.rate ?? null } as const;
  return await work.make(body.target, (target) => work.step({ ...step, target }, 'converting'));
}

export async function diskImport(work: DiskWork, { source, target, rate }: Body<'diskImport'>): Result {
  const file = work.file(source);
  const looked = await work.look([named(source.path, 'ro')], ({ headers }) => {
    const header = headers[source.path];
    return header === undefined ? [] : aloneFaults(file, header);
  });
  if (!looked.ok) return looked;
  const image = { ...file, backing: [] };
  // Some headers do not say the size (VHDX): qemu-img does, in its jail, and the ceiling holds for what it says.
  const info = await work.info(file);
  if (!info.ok) return info;
  const faults = work.sizeFaults(source.path, info.value.virtualSize);
  if (faults.length > 0) return { ok: false, faults };
  work.expect(info.value.virtualSize);
  const step = { do: 'convert', image, compress: false, rate: rate ?? null } as const;
  return await work.make(target, (made) => work.step({ ...step, target: made }, 'importing'));
}

/** As people write sizes, where that is exact. */
function sizeText(bytes: number): string {
  const size = formatByteSize(bytes);
  return typeof size === 'number' ? `${size} bytes` : size;
}

export async function diskResize(work: DiskWork, body: Body<'diskResize'>): Result {
  const { size, shrink, preallocation } = body;
  const image = imageOf(work, body.image);
  const looked = await lookAtChain(work, image, 1);
  if (!looked.ok) return looked;
  const faults = work.sizeFaults(image.path, size);
  if (faults.length > 0) return { ok: false, faults };
  if (size < looked.value && !shrink)
    return failure(
      'request-invalid',
      `"${image.path}" has ${sizeText(looked.value)}, and ${sizeText(size)} is less: what lies beyond would be lost`,
      'make partitions and file systems smaller first, then say --shrink',
    );
  work.expect(size);
  const done = await work.step({ do: 'resize', image, size, shrink, preallocation }, 'resizing');
  if (!done.ok) return done;
  return await proved(work, image, (now) => now.virtualSize === size);
}

export async function diskCheck(work: DiskWork, body: Body<'diskCheck'>): Promise<Outcome<DiskCheck>> {
  const { path, format, repair = null } = body;
  const image = work.file({ path, format });
  const looked = await lookAlone(work, image, repair === null ? 'ro' : 'rw');
  if (!looked.ok) return looked;
  const words = await work.step({ do: 'check', image, repair }, repair === null ? 'checking' : 'repairing');
  return words.ok ? success(parseImageCheck(path, jsonIn(words.value) ?? {})) : words;
}

export async function diskCommit(work: DiskWork, body: Body<'diskCommit'>): Result {
  const image = imageOf(work, body.image);
  if (image.backing.length === 0)
    return failure(
      'request-invalid',
      'there is no image to commit to',
      'say which lies below with --backing FILE',
    );
  const looked = await lookAtChain(work, image, 2);
  if (!looked.ok) return looked;
  const done = await work.step({ do: 'commit', image }, 'committing');
  return done.ok ? await work.info(image) : done;
}

export async function diskRebase(work: DiskWork, body: Body<'diskRebase'>): Result {
  const image = imageOf(work, body.image);
  const onto = body.onto.map((layer) => work.file(layer));
  const [nearest, ...others] = body.onto;
  const backing = nearest ?? null;
  if (body.metadataOnly) {
    const looked = await work.look([named(image.path, 'rw')], ({ headers }) =>
      outsideFaults(image, headers[image.path]?.references ?? []),
    );
    if (!looked.ok) return looked;
    // Nothing of them is read: they may be at work.
    const below = await work.look(read(onto), () => [], true);
    if (!below.ok) return below;
  } else {
    const looked = await lookAtChain(work, image, 1);
    if (!looked.ok) return looked;
    if (nearest !== undefined) {
      const below = await lookAtChain(work, imageOf(work, { ...nearest, backing: others }), 0);
      if (!below.ok) return below;
    }
    const copied = await work.step({ do: 'rebase', image, onto }, 'copying what differs');
    if (!copied.ok) return copied;
  }
  const renamed = await work.step({ do: 'rename-backing', image, backing }, 'writing the header');
  if (!renamed.ok) return renamed;
  return await proved(work, image, (now) => now.backing === (backing?.path ?? null));
}

export async function diskSnapshot(work: DiskWork, { path, action, snapshot }: Body<'diskSnapshot'>): Result {
  const image = work.file({ path, format: 'qcow2' });
  const looked = await lookAlone(work, image, 'rw');
  if (!looked.ok) return looked;
  const before = await work.info(image);
  if (!before.ok) return before;
  const there = before.value.snapshots.some(({ name }) => name === snapshot);
  if (action === 'create' && (looked.value.headers[path]?.snapshots ?? 0) >= mostSnapshots)
    return failure(
      'request-invalid',
      `"${path}" has ${mostSnapshots} snapshots, which is all it may have`,
      'delete one first',
    );
  if (action === 'create' && there)
    return failure('file-exists', `"${path}" has a snapshot "${snapshot}" already`, 'choose another name');
  if (action !== 'create' && !there)
    return failure(
      'request-invalid',
      `"${path}" has no snapshot "${snapshot}"`,
      '`qward disk snapshot list FILE` shows which there are',
    );
  const done = await work.step({ do: 'snapshot', image, action, snapshot }, `snapshot ${action}`);
  if (!done.ok) return done;
  return await proved(
    work,
    image,
    ({ snapshots }) => snapshots.some(({ name }) => name === snapshot) === (action !== 'rm'),
  );
}

/** For what works on one image's own tables: the chain is not opened, and may be anything. */
async function lookAlone(
  work: DiskWork,
  image: { readonly path: string },
  access: 'ro' | 'rw',
): Promise<Outcome<JobFacts>> {
  return await work.look([named(image.path, access)], ({ headers }) => {
    const header = headers[image.path];
    if (header === undefined) return [];
    const { references } = header;
    const file = work.file({ path: image.path, format: 'qcow2' });
    const others = references.filter(({ kind }) => kind !== 'backing file');
    return aloneFaults(file, { ...header, references: others });
  });
}

/** The image as it is now, where that is what was asked for. */
async function proved(
  work: DiskWork,
  image: JobImage | ReturnType<DiskWork['file']>,
  is: (now: DiskImage) => boolean,
): Result {
  const info = await work.info(image);
  if (!info.ok || is(info.value)) return info;
  return failure(
    'disk-failed',
    `"${image.path}" is not as was asked for`,
    '`qward disk check` looks at the image',
  );
}
