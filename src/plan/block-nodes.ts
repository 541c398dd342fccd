/** Block nodes: an image and its whole chain, node by node, each on a descriptor set. */
import type { DiskDefinition } from '../definition/schema.ts';
import type { Access } from '../protocol/launch.ts';
import type { DescriptorTable } from './descriptor-table.ts';
import { jsonOption, type JsonValue, type Option } from './options.ts';

/** Options that make the nodes, and the name of the topmost, which a device takes as its drive. */
export interface BlockNodes {
  readonly options: readonly Option[];
  readonly top: string;
}

interface ImageNode {
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
  readonly access: Access;
  /** Whether a block job may later need it writable. */
  readonly reopenable: boolean;
  readonly name: string | null;
  readonly subject: string;
  readonly reason: string;
  /** Node below; null: none, whatever the header says. */
  readonly backing: string | null;
  readonly cache: DiskDefinition['cache'];
  readonly discard: DiskDefinition['discard'];
  readonly aio?: DiskDefinition['aio'];
  readonly detectZeroes?: DiskDefinition['detectZeroes'];
  /** Opened to be written at once, not with the first writer. */
  readonly writable?: boolean;
}

/** As `blockdev-add` takes them. */
export const cacheOptions = (
  cache: DiskDefinition['cache'],
): { readonly direct: boolean; readonly 'no-flush': boolean } => ({
  direct: cache === 'none',
  'no-flush': cache === 'unsafe',
});

/**
 * File node and format node of one image. Node names are the part's id for the topmost and `file.SET`, `image.SET`,
 * `copy.SET` for the others: an id has no dot, so they never meet, and QEMU allows 31 characters only.
 */
function imageNodes(table: DescriptorTable, image: ImageNode): BlockNodes {
  const { subject, reason, cache, discard } = image;
  const set = table.addSet(image.path, image.access, { subject, reason });
  const readonly = image.access === 'ro' && !image.reopenable;
  const common = {
    cache: cacheOptions(cache),
    discard,
  };
  const top = image.name ?? `image.${set}`;
  const file = jsonOption('-blockdev', {
    driver: table.isBlockDevice(image.path) ? 'host_device' : 'file',
    'node-name': `file.${set}`,
    filename: `/dev/fdset/${set}`,
    aio: image.aio ?? 'threads',
    // SECURITY: promise 7. Locks are not "auto": an image that another QEMU has open is refused, never shared by chance.
    locking: 'on',
    'read-only': readonly,
    'auto-read-only': !readonly && image.writable !== true,
    ...common,
  });
  const format = jsonOption('-blockdev', {
    driver: image.format,
    'node-name': top,
    file: `file.${set}`,
    'read-only': image.access === 'ro',
    // SECURITY: rule images. The chain ends where the definition ends it; what the image header names is never opened.
    ...(image.format === 'qcow2' ? { backing: image.backing } : {}),
    ...common,
    'detect-zeroes': image.detectZeroes === 'off' ? undefined : image.detectZeroes,
  });
  return { options: [file, format], top };
}

type Limits = NonNullable<DiskDefinition['limits']>;

/** Names of QEMU for the keys of `limits`. */
const limitNames = {
  iops: 'iops-total',
  bps: 'bps-total',
  readIops: 'iops-read',
  writeIops: 'iops-write',
  readBps: 'bps-read',
  writeBps: 'bps-write',
} as const;
const limitKeys = ['iops', 'bps', 'readIops', 'writeIops', 'readBps', 'writeBps'] as const;

function throttleLimits(limits: Limits): Record<string, JsonValue | undefined> {
  const entries = limitKeys.flatMap((key) => [
    [limitNames[key], limits[key]],
    [`${limitNames[key]}-max`, limits.burst[key]],
    [`${limitNames[key]}-max-length`, limits.burstSeconds[key]],
  ]);
  return { ...Object.fromEntries(entries), 'iops-size': limits.iopsSize };
}

const isLimited = (limits: Limits | undefined): limits is Limits =>
  limits !== undefined && limitKeys.some((key) => limits[key] !== undefined);

/** An id has no dot, so a group of several disks never meets that of one. */
const groupOf = ({ id, limits }: DiskDefinition): string =>
  limits?.group === undefined ? `limits.${id}` : `limits.of.${limits.group}`;

/**
 * The nodes of a disk: its backing chain from the far end, the image, and the limits on top. `groups`: the throttle groups
 * that disks before it made, to which its own is added.
 */
export function diskNodes(table: DescriptorTable, disk: DiskDefinition, groups: Set<string>): BlockNodes {
  const subject = `disk ${disk.id}`;
  const limited = isLimited(disk.limits);
  const { cache, discard, detectZeroes } = disk;
  const options: Option[] = [];
  let below: string | null = null;
  for (const image of disk.backing.toReversed()) {
    const nodes = imageNodes(table, {
      ...image,
      access: 'ro',
      reopenable: true,
      name: null,
      subject,
      reason: 'backing image, listed in the definition',
      backing: below,
      cache,
      discard,
    });
    options.push(...nodes.options);
    below = nodes.top;
  }
  const image = imageNodes(table, {
    path: disk.path,
    format: disk.format,
    access: disk.readonly ? 'ro' : 'rw',
    reopenable: false,
    name: limited || disk.copyOnRead ? null : disk.id,
    subject,
    reason: disk.readonly ? 'image of a read-only disk' : 'image of the disk',
    backing: below,
    cache,
    discard,
    detectZeroes,
    aio: disk.aio,
    // These take their locks in two steps, and the second fails on the read-only descriptor of the first (QEMU 7.2).
    writable: disk.copyOnRead || (disk.bus === 'usb' && !disk.readonly),
  });
  options.push(...image.options);
  let { top } = image;
  if (disk.copyOnRead) {
    const name = limited ? top.replace('image', 'copy') : disk.id;
    options.push(jsonOption('-blockdev', { driver: 'copy-on-read', 'node-name': name, file: top }));
    top = name;
  }
  if (!isLimited(disk.limits)) return { options, top };
  const group = groupOf(disk);
  if (!groups.has(group)) {
    groups.add(group);
    const limits = throttleLimits(disk.limits);
    options.push(jsonOption('-object', { 'qom-type': 'throttle-group', id: group, limits }));
  }
  options.push(
    jsonOption('-blockdev', {
      driver: 'throttle',
      'node-name': disk.id,
      'throttle-group': group,
      file: top,
    }),
  );
  return { options, top: disk.id };
}

/** The nodes of a CD in a drive. */
export function cdromNodes(table: DescriptorTable, id: string, path: string): BlockNodes {
  return imageNodes(table, {
    path,
    format: 'raw',
    access: 'ro',
    reopenable: false,
    name: id,
    subject: `cdrom ${id}`,
    reason: 'the disc in the drive',
    backing: null,
    cache: 'writeback',
    discard: 'ignore',
  });
}

/** The UEFI variable store, one for each machine. */
export function variableStoreNodes(table: DescriptorTable, path: string): BlockNodes {
  return imageNodes(table, {
    path,
    format: 'qcow2',
    access: 'rw',
    reopenable: false,
    name: 'uefi.vars',
    subject: 'firmware',
    reason: 'UEFI variables of this machine',
    backing: null,
    cache: 'writeback',
    discard: 'ignore',
  });
}
