/** Disks, their images, and memory: what would lose data or cannot be. */
import type { Draft, Placed } from './draft.ts';
import type { KeyPath } from './key-path.ts';
import { broken, type Broken } from './rule.ts';
import { formatByteSize } from './byte-size.ts';
import type { DiskDefinition } from './schema.ts';

function faultsOfDisk({ path, value: disk }: Placed<DiskDefinition>): readonly Broken[] {
  const faults: Broken[] = [];
  const add = (key: KeyPath, message: string, hint: string): void =>
    void faults.push(broken([...path, ...key], message, hint));
  // QEMU 7.2, ide-hd on IDE and on AHCI alike: "Block node is read-only".
  if (disk.readonly && (disk.bus === 'ide' || disk.bus === 'sata'))
    add(['readonly'], `QEMU has no read-only disks on ${disk.bus}`, 'Use bus: virtio, scsi or nvme.');
  if (disk.shared && disk.format !== 'raw')
    add(
      ['shared'],
      `only raw images can be shared, and this one is ${disk.format}`,
      'Two writers destroy a qcow2 image. Convert it to raw, or give each machine an overlay of its own.',
    );
  if (disk.shared && disk.readonly)
    add(
      ['shared'],
      'a disk is either shared or readonly',
      'Read-only disks may be used by many machines without it; remove one of the two.',
    );
  if (disk.format === 'raw' && disk.backing.length > 0)
    add(
      ['backing'],
      'a raw image has no backing chain',
      'Only qcow2 images have one. Is format: qcow2 meant?',
    );
  if (disk.rawio && disk.bus !== 'scsi')
    add(['rawio'], `raw commands need bus: scsi, and this disk is on ${disk.bus}`, 'Set bus: scsi.');
  if (disk.rawio && (disk.format !== 'raw' || disk.limits !== undefined))
    add(
      ['rawio'],
      `raw commands reach a block device itself, and nothing between (${disk.format === 'raw' ? 'limits' : disk.format})`,
      'Use format: raw without limits, on a block device.',
    );
  disk.backing.forEach((image, index) => {
    if (image.format === 'raw' && index < disk.backing.length - 1)
      add(
        ['backing', index, 'format'],
        'a raw image ends the chain, and others follow',
        'List the nearest image first, the raw one last.',
      );
  });
  return faults;
}

export function disksAreSound(draft: Draft): readonly Broken[] {
  return draft.disks.flatMap(faultsOfDisk);
}

interface Use {
  readonly file: string;
  readonly path: KeyPath;
  readonly by: string;
  readonly writes: boolean;
  readonly shared: boolean;
}

function usesOf(draft: Draft): readonly Use[] {
  const reads = (file: string, path: KeyPath, by: string): Use => ({
    file,
    path,
    by,
    writes: false,
    shared: false,
  });
  return [
    ...draft.disks.flatMap(({ path, value }) => [
      {
        file: value.path,
        path: [...path, 'path'],
        by: `disk "${value.id}"`,
        writes: !value.readonly,
        shared: value.shared,
      },
      ...value.backing.map((image, index) =>
        reads(image.path, [...path, 'backing', index, 'path'], `the backing chain of disk "${value.id}"`),
      ),
    ]),
    ...draft.cdroms.flatMap(({ path, value }) =>
      value.path === undefined ? [] : [reads(value.path, [...path, 'path'], `CD-ROM drive "${value.id}"`)],
    ),
    ...(['kernel', 'initrd'] as const).flatMap((key) => {
      const file = draft.boot?.[key];
      return file === undefined ? [] : [reads(file, ['boot', key], `boot.${key}`)];
    }),
  ];
}

/** An image that is written has one user; its own backing chain counts. */
export function writtenImagesAreUsedOnce(draft: Draft): readonly Broken[] {
  const uses = usesOf(draft);
  return uses.flatMap((use, index) => {
    const other = uses
      .slice(0, index)
      .find((earlier) => earlier.file === use.file && (earlier.writes || use.writes));
    if (other === undefined || (other.shared && use.shared)) return [];
    const role = (one: Use): string => `${one.writes ? 'written' : 'read'} by ${one.by}`;
    return [
      broken(
        use.path,
        `${use.file} is used twice: ${role(other)}, and ${role(use)}`,
        'An image that is written can be used once. Is one of the two paths mistyped?',
      ),
    ];
  });
}

export function memoryFits(draft: Draft): readonly Broken[] {
  const { memory, limits } = draft;
  if (memory === undefined || limits?.memory === undefined || limits.memory >= memory) return [];
  const [limit, guest] = [limits.memory, memory].map(formatByteSize);
  return [
    broken(
      ['limits', 'memory'],
      `${limit} is less than the guest's memory, ${guest}`,
      'Leave it out: qward adds what QEMU itself needs.',
    ),
  ];
}
