/** Keys of the guest's memory beside its size. */
import * as z from 'zod';
import { byteSize, textLike } from './scalars.ts';

/** Ranges of numbers: `0-3,8`. */
export const numberRanges = textLike(
  'ranges',
  /^\d{1,4}(?:-\d{1,4})?(?:,\d{1,4}(?:-\d{1,4})?){0,63}$/,
  "numbers and ranges such as '0-3,8', in quotes",
);

const memorySize = { from: '8MiB', to: '64TiB', step: '1MiB', examples: ['4GiB', '16GiB'] };

export const memoryMaximum = byteSize(memorySize);

/** Where the memory lies on the host (mbind(2)). */
const hostNodesSchema = z.strictObject({
  nodes: numberRanges.describe('NUMA nodes of the host.').meta({ examples: ['0'] }),
  policy: z
    .enum(['bind', 'preferred', 'interleave'])
    .default('bind')
    .describe('There alone, there first, or spread over them.'),
});
const hostNodes = hostNodesSchema
  .optional()
  .describe('NUMA nodes of the host for it. The policy must allow the system call mbind.');

export const memoryBackingSchema = z.strictObject({
  hugePages: z
    .enum(['none', '2MiB', '1GiB'])
    .default('none')
    .describe(
      'Pages of this size that the host keeps for it (vm.nr_hugepages). No limit of the machine counts them, so the policy must allow the system call memfd_create.',
    ),
  preallocate: z
    .boolean()
    .default(false)
    .describe(
      'All memory is taken at the start; with `hugePages` a start then fails where there are too few.',
    ),
  hostNodes,
});

export const numaCellSchema = z.strictObject({
  cpus: numberRanges
    .optional()
    .describe('Virtual CPUs of the cell; none: it has memory only.')
    .meta({ examples: ['0-1'] }),
  memory: byteSize({ from: '1MiB', to: '64TiB', step: '1MiB', examples: ['512MiB'] }).describe(
    'Memory of the cell; all cells together have `memory`.',
  ),
  distances: z
    .array(z.int().min(10).max(254))
    .max(32)
    .optional()
    .describe('Distance to each cell, in their order: 10 to itself, more to others.')
    .meta({ examples: [[10, 20]] }),
  hostNodes,
});
