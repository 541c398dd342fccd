/** The calls for snapshots of machines, in the form of contract.ts. */
import * as z from 'zod';
import { endpoints } from './endpoints.ts';

const name = z.string().min(1).max(63);
const onMachine = z.strictObject({ name });
const snapshot = z.string().min(1).max(41).describe('Small letters, digits and "-".');
const onSnapshot = z.strictObject({ name, snapshot });
const done = z.object({ name, snapshot, outcome: z.string() });

export const snapshotRoutes = {
  snapshots: {
    ...endpoints.snapshots,
    right: 'see',
    summary: 'The snapshots of a machine, in the order of their age.',
    params: onMachine,
    result: z.object({
      name,
      snapshots: z.array(
        z.object({
          snapshot,
          at: z.string().nullable().describe('ISO 8601.'),
          by: z.string().nullable(),
          bytes: z.int().nullable().describe('Of the memory in its file.'),
          unusable: z.string().nullable().describe('Why nobody can go back to it.'),
        }),
      ),
    }),
  },
  snapshotCreate: {
    ...endpoints.snapshotCreate,
    right: 'define',
    logged: true,
    summary:
      'Disks, memory and UEFI variables of a running machine as they are at one moment; the guest goes on.',
    params: onMachine,
    body: z.strictObject({ snapshot }),
    result: done,
  },
  snapshotRevert: {
    ...endpoints.snapshotRevert,
    right: 'define',
    logged: true,
    summary:
      'A stopped machine goes back to a snapshot: what its disks got since is lost, and the next start goes on there.',
    params: onSnapshot,
    result: done,
  },
  snapshotRemove: {
    ...endpoints.snapshotRemove,
    right: 'define',
    logged: true,
    summary: 'Removes a snapshot, from the disks too; the machine stays as it is.',
    params: onSnapshot,
    result: done,
  },
} as const;
