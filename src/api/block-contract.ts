/** The calls on the images of running machines: rows of the contract. */
import * as z from 'zod';
import { imagePath as path } from './disk-contract.ts';
import { endpoints } from './endpoints.ts';

/** What may be under way with the images of a machine. */
export const blockDoings = ['mirroring', 'backing up', 'committing', 'pulling', 'snapshotting'] as const;
export type BlockDoing = (typeof blockDoings)[number];

const onMachine = z.strictObject({ name: z.string().min(1).max(63) });
const name = z.string();
const id = z.string().min(1).max(31);
const speed = z
  .int()
  .min(0)
  .max(Number.MAX_SAFE_INTEGER)
  .default(0)
  .describe('Bytes a second at most; 0: as fast as it goes.');

const frozen = z.boolean().describe('The file systems of the guest were at rest, by its agent.');
const newImages = z
  .array(z.strictObject({ disk: id, path }))
  .min(1)
  .max(32);
const backup = z.object({
  id: z.string(),
  at: z.string().describe('ISO 8601.'),
  by: z.string(),
  frozen,
  disks: z.array(
    z.object({
      disk: id,
      path: z.string(),
      onto: z
        .array(z.string())
        .describe('The backups that it stands on, the nearest first; none: it is whole.'),
    }),
  ),
});

const image = z.object({ path: z.string(), format: z.enum(['raw', 'qcow2']) });

export const blockRoutes = {
  chain: {
    ...endpoints.chain,
    right: 'see',
    summary:
      'The images of each disk: as QEMU has them while the machine runs, else as the definition has them.',
    params: onMachine,
    result: z.object({
      name,
      running: z.boolean(),
      busy: z
        .object({ doing: z.enum(blockDoings), disk: id, files: z.array(z.string()).describe('Open for it.') })
        .nullable()
        .describe('What is done to its images just now.'),
      disks: z.array(
        z.object({
          disk: id,
          size: z.int().nullable().describe('Bytes that the guest sees; null: the machine does not run.'),
          images: z.array(image).describe('The topmost first: it is the one that is written.'),
        }),
      ),
    }),
  },
  mirror: {
    ...endpoints.mirror,
    right: 'define',
    logged: true,
    summary:
      'Copies a disk of a running machine into another image, which then takes its place, in the definition too. Ends with its caller.',
    params: onMachine,
    body: z.strictObject({
      disk: id,
      path: path.describe('An image of the same size that no machine has; what it holds is lost.'),
      format: z.enum(['raw', 'qcow2']),
      speed,
    }),
    result: z.object({
      name,
      disk: id,
      path: z.string(),
      before: z.string().describe('The image that it had.'),
    }),
  },
  backup: {
    ...endpoints.backup,
    right: 'define',
    logged: true,
    summary:
      'Copies disks of a running machine as they are at one moment, or what was written since the last backup. Ends with its caller.',
    params: onMachine,
    body: z.strictObject({
      disks: newImages.describe(
        'Each with a qcow2 image of the same size that no machine has; what it holds is lost.',
      ),
      incremental: z.boolean().default(false),
      speed,
    }),
    result: backup.extend({ name }),
  },
  backups: {
    ...endpoints.backups,
    right: 'see',
    summary: 'The backups that were made of a machine, in the order of their age.',
    params: onMachine,
    result: z.object({ name, backups: z.array(backup) }),
  },
  overlay: {
    ...endpoints.overlay,
    right: 'define',
    logged: true,
    summary:
      'A snapshot of disks of a running machine, all at one moment: each gets a new image on top, which is written from then on.',
    params: onMachine,
    body: z.strictObject({
      disks: newImages.describe('Each with a new qcow2 image whose header names the image of the disk.'),
    }),
    result: z.object({ name, disks: z.array(z.object({ disk: id, path: z.string() })), frozen }),
  },
  commit: {
    ...endpoints.commit,
    right: 'define',
    logged: true,
    summary:
      'Writes the topmost image of a disk into the one below it, which takes its place. Ends with its caller.',
    params: onMachine,
    body: z.strictObject({ disk: id, speed }),
    result: z.object({ name, disk: id, left: z.string().describe('The image that is not used any more.') }),
  },
  pull: {
    ...endpoints.pull,
    right: 'define',
    logged: true,
    summary:
      'Copies all that lies below the topmost image of a disk into it; it stands alone then. Ends with its caller.',
    params: onMachine,
    body: z.strictObject({ disk: id, speed }),
    result: z.object({ name, disk: id, path: z.string() }),
  },
} as const;
