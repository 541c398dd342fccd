/** The calls about images: rows of the contract. Each but the lists runs qemu-img in a jail of its own, and ends with its caller. */
import * as z from 'zod';
import { diskFormats, importFormats, snapshotPattern } from '../plan/disk-job.ts';
import { diskJobPattern } from '../protocol/disk-job.ts';
import { endpoints } from './endpoints.ts';

/** Of an image, as the caller names it. */
export const imagePath = z
  .string()
  .max(4095)
  .regex(
    /^(?:\/(?!\.{1,2}(?:\/|$))[^/\u0000-\u001f\u007f]+)+$/,
    'an absolute path without "." and ".." parts expected',
  );
const path = imagePath;
const job = z
  .string()
  .regex(diskJobPattern)
  .describe(
    'Name of the job, `qward-disk-` and random characters of the caller, for which files are claimed.',
  );
const size = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const format = z.enum(diskFormats);

const layer = z.strictObject({ path, format });
const chain = z
  .array(layer)
  .max(6)
  .describe('What lies below, the nearest first; what a header names does not count.');
const image = z.strictObject({ path, format, backing: chain.default([]) });
const target = z.strictObject({
  path,
  format,
  made: z
    .boolean()
    .describe(
      'The caller made the part, an empty file of its own, and gives it its name. Else it is made for an administrator.',
    ),
});
const preallocation = z.enum(['off', 'metadata', 'falloc', 'full']).default('off');

export const diskImage = z
  .object({
    path,
    format: z.string(),
    virtualSize: size.describe('What a guest sees, bytes.'),
    actualSize: size.describe('What it takes of its file system, bytes.'),
    clusterSize: size.nullable(),
    backing: z.string().nullable().describe('What the header names; nothing is opened by it.'),
    backingFormat: z.string().nullable(),
    corrupt: z.boolean(),
    dirty: z.boolean(),
    snapshots: z.array(
      z.object({
        name: z.string(),
        at: z.string(),
        vmStateSize: size.describe('Memory of a guest that ran, bytes.'),
      }),
    ),
  })
  .meta({ id: 'DiskImage' });
export type DiskImage = z.output<typeof diskImage>;

export const diskCheck = z
  .object({
    path,
    ok: z.boolean(),
    errors: size.describe('Clusters that are wrong: data may be lost.'),
    leaks: size.describe('Clusters that nothing uses: space, no data.'),
    repairedErrors: size,
    repairedLeaks: size,
    allocatedClusters: size,
    totalClusters: size,
  })
  .meta({ id: 'DiskCheck' });
export type DiskCheck = z.output<typeof diskCheck>;

const user = z.object({ machine: z.string(), access: z.enum(['ro', 'rw']), running: z.boolean() });
const listed = z.object({
  path,
  size: size.describe('Of the file, bytes.'),
  allocated: size,
  format: z.string().describe('What the first bytes say; empty: could not be looked at.'),
  virtualSize: size,
  usedBy: z.array(user),
});

export const diskRoutes = {
  disks: {
    ...endpoints.disks,
    right: 'see',
    summary:
      'Storage roots with free space and images, and which machine uses what; of others only what you may see.',
    result: z.object({
      roots: z.array(
        z.object({
          path,
          access: z.enum(['ro', 'rw']),
          free: size,
          total: size,
          images: z.array(listed),
          more: z.boolean(),
        }),
      ),
      files: z
        .array(z.object({ path, usedBy: z.array(user) }))
        .describe('Files of machines outside the storage roots.'),
    }),
  },
  diskProgress: {
    ...endpoints.diskProgress,
    right: 'see',
    summary: 'How far a job of yours is.',
    params: z.strictObject({ job }),
    result: z.object({ job, doing: z.string(), percent: z.number().min(0).max(100).nullable() }),
  },
  diskInfo: {
    ...endpoints.diskInfo,
    right: 'disk',
    summary: 'What an image is. With `shared`, also while a machine runs with it.',
    body: z.strictObject({
      job,
      path,
      format: z.enum(importFormats).optional().describe('None: what the first bytes say.'),
      shared: z.boolean().default(false),
    }),
    result: diskImage,
  },
  diskCreate: {
    ...endpoints.diskCreate,
    right: 'disk',
    logged: true,
    summary: 'Makes an empty image, or one that begins with the content of another.',
    body: z.strictObject({
      job,
      target,
      size: size.min(1).optional().describe('Bytes; with `backing`, none means its size.'),
      backing: chain.default([]),
      preallocation,
    }),
    result: diskImage,
  },
  diskConvert: {
    ...endpoints.diskConvert,
    right: 'disk',
    logged: true,
    summary: 'Copies an image with all that lies below it into a new one.',
    body: z.strictObject({
      job,
      image,
      target,
      compress: z.boolean().default(false),
      rate: size.min(4096).optional().describe('Bytes a second at most.'),
    }),
    result: diskImage,
  },
  diskImport: {
    ...endpoints.diskImport,
    right: 'disk',
    logged: true,
    summary:
      'The same from any format, of an image that is not trusted: one that refers to another file is refused.',
    body: z.strictObject({
      job,
      source: z.strictObject({ path, format: z.enum(importFormats) }),
      target,
      rate: size.min(4096).optional(),
    }),
    result: diskImage,
  },
  diskResize: {
    ...endpoints.diskResize,
    right: 'disk',
    logged: true,
    summary: 'Another virtual size. Less than it has needs `shrink`, and cuts off the end.',
    body: z.strictObject({
      job,
      image,
      size: size.min(1),
      shrink: z.boolean().default(false),
      preallocation,
    }),
    result: diskImage,
  },
  diskCheck: {
    ...endpoints.diskCheck,
    right: 'disk',
    logged: true,
    summary: "Whether an image's own tables agree; `repair` mends them.",
    body: z.strictObject({
      job,
      path,
      format: z.literal('qcow2').default('qcow2'),
      repair: z.enum(['leaks', 'all']).optional(),
    }),
    result: diskCheck,
  },
  diskRebase: {
    ...endpoints.diskRebase,
    right: 'disk',
    logged: true,
    summary: 'Puts an image onto another chain; what differs is copied first, but with `metadataOnly`.',
    body: z.strictObject({
      job,
      image,
      onto: chain.describe('The new chain, the nearest first; empty: the image then stands alone.'),
      metadataOnly: z.boolean().default(false),
    }),
    result: diskImage,
  },
  diskCommit: {
    ...endpoints.diskCommit,
    right: 'disk',
    logged: true,
    summary: 'Writes what an image changes into the one below it, and empties it.',
    body: z.strictObject({ job, image }),
    result: diskImage,
  },
  diskSnapshot: {
    ...endpoints.diskSnapshot,
    right: 'disk',
    logged: true,
    summary: 'A snapshot within a qcow2 image that no machine runs with: made, reverted to, or removed.',
    body: z.strictObject({
      job,
      path,
      action: z.enum(['create', 'revert', 'rm']),
      snapshot: z.string().regex(snapshotPattern, 'letters, digits and . _ : @ + - expected, at most 128'),
    }),
    result: diskImage,
  },
} as const;
