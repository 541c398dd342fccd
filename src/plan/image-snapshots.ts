/** Snapshots within an image. QEMU reads a table of all of them whenever it opens the image, whatever it opens it for. */
import type { Fault } from '../definition/fault.ts';
import type { OwnRule } from '../protocol/rules.ts';
import type { ImageHeader } from './launch-plan.ts';

/** QEMU takes 65,536, and 10 s or 64 MiB of tables for them; of 1,024 nothing is felt. */
export const mostSnapshots = 1024;

/** SECURITY: rule images. A header may say any number; QEMU takes memory and time by it. */
export function snapshotFaults(path: string, { snapshots }: ImageHeader): readonly Fault[] {
  if (snapshots <= mostSnapshots) return [];
  return [
    {
      code: 'policy-refused',
      message: `"${path}" says that ${snapshots} snapshots are within it, and QEMU reads all of them: ${mostSnapshots} at most`,
      hint: 'If they are yours, delete some where they were made: `qemu-img snapshot -d NAME FILE`. An image from elsewhere that says so was made to do harm.',
      rule: 'few-snapshots' satisfies OwnRule,
    },
  ];
}
