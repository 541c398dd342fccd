/** Keys of disks, CD-ROM drives and their controllers. */
import * as z from 'zod';
import { byteSize, hostPath, identifier, textLike } from './scalars.ts';

const imagePath = hostPath.meta({ examples: ['/var/lib/qward/images/web.qcow2'] });

const image = z.strictObject({
  path: imagePath.describe('Absolute path of the image on the host.'),
  format: z
    .enum(['raw', 'qcow2'])
    .describe('Format of the image. Never guessed: a guest can write any header into a raw image.'),
});

const operations = z.int().min(1).max(10_000_000).optional();
const bytes = byteSize({ from: '4KiB', to: '100TiB', examples: ['50MiB', '1GiB'] }).optional();
const seconds = z.int().min(1).max(3600).optional();

const ioLimits = z.strictObject({
  iops: operations.describe('Operations per second, reads and writes together.'),
  bps: bytes.describe('Bytes per second, reads and writes together.'),
  readIops: operations.describe('Reads per second; not beside `iops`.'),
  writeIops: operations.describe('Writes per second; not beside `iops`.'),
  readBps: bytes.describe('Bytes read per second; not beside `bps`.'),
  writeBps: bytes.describe('Bytes written per second; not beside `bps`.'),
  burst: z
    .strictObject({
      iops: operations.describe('In place of `iops`.'),
      bps: bytes.describe('In place of `bps`.'),
      readIops: operations.describe('In place of `readIops`.'),
      writeIops: operations.describe('In place of `writeIops`.'),
      readBps: bytes.describe('In place of `readBps`.'),
      writeBps: bytes.describe('In place of `writeBps`.'),
    })
    .prefault({})
    .describe('Higher ceilings for a while, after the disk did less.'),
  burstSeconds: z
    .strictObject({
      iops: seconds.describe('Of `burst.iops`; unset: 1.'),
      bps: seconds.describe('Of `burst.bps`; unset: 1.'),
      readIops: seconds.describe('Of `burst.readIops`; unset: 1.'),
      writeIops: seconds.describe('Of `burst.writeIops`; unset: 1.'),
      readBps: seconds.describe('Of `burst.readBps`; unset: 1.'),
      writeBps: seconds.describe('Of `burst.writeBps`; unset: 1.'),
    })
    .prefault({})
    .describe('How long each of `burst` may last.'),
  iopsSize: byteSize({ from: '512', to: '1GiB', examples: ['64KiB'] })
    .optional()
    .describe('An operation that is larger counts as several of this size.'),
  group: identifier
    .optional()
    .describe('Disks of one group share these limits, which all of them must name alike.'),
});

const printable = (most: number) =>
  textLike(
    'text',
    new RegExp(`^[\\u0020-\\u007e]{1,${most}}$`),
    `1 to ${most} printable characters of ASCII`,
  );

const serial = printable(36);
const blockBytes = z.literal([
  512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072, 262_144, 524_288, 1_048_576, 2_097_152,
]);

export const diskSchema = z.strictObject({
  id: identifier.describe('Name of the disk within the machine.').meta({ examples: ['root'] }),
  ...image.shape,
  bus: z
    .enum(['virtio', 'scsi', 'sata', 'ide', 'nvme', 'usb'])
    .default('virtio')
    .describe(
      'How the guest sees the disk. `scsi` is virtio-scsi; `ide` needs the machine `pc`; `usb` is a storage stick.',
    ),
  readonly: z
    .boolean()
    .default(false)
    .describe('The guest may not write, and QEMU gets a read-only descriptor.'),
  shared: z
    .boolean()
    .default(false)
    .describe('Several machines may write to the image at once (raw only; the guests must coordinate).'),
  cache: z
    .enum(['none', 'writeback', 'writethrough', 'unsafe'])
    .default('writeback')
    .describe(
      'Host page cache: `none` is O_DIRECT, `unsafe` ignores flushes and loses data when the host dies.',
    ),
  aio: z
    .enum(['threads', 'native'])
    .default('threads')
    .describe(
      'How QEMU reads and writes: by threads, or by io_submit of Linux, whose four system calls the policy must allow; `native` needs `cache: none`.',
    ),
  discard: z
    .enum(['unmap', 'ignore'])
    .default('unmap')
    .describe('What a discard of the guest does to the image.'),
  detectZeroes: z
    .enum(['off', 'on', 'unmap'])
    .default('off')
    .describe('Whether zeroes that the guest writes are kept as holes; `unmap` needs `discard: unmap`.'),
  copyOnRead: z
    .boolean()
    .default(false)
    .describe('What the guest reads of the backing chain is copied into the image.'),
  errors: z
    .strictObject({
      read: z
        .enum(['stop', 'report', 'ignore'])
        .default('stop')
        .describe('When a read fails: the guest stops until the cause is gone, is told, or hears nothing.'),
      write: z
        .enum(['stop', 'report', 'ignore', 'enospc'])
        .default('stop')
        .describe(
          'The same for a write; `enospc` stops where the host is full, and tells the guest of all else.',
        ),
    })
    .prefault({})
    .describe('What follows a failure of the host. `nvme` tells the guest in any case.'),
  serial: serial
    .optional()
    .describe(
      'Serial number, by which the guest finds the disk: 36 characters on `scsi` and `usb`, 20 on the others; unset: the id.',
    )
    .meta({ examples: ['WD-WMAP9A966149'] }),
  wwn: textLike('WWN', /^[0-9a-f]{16}$/, '16 digits such as 5000c50015ea71aa, lower case')
    .optional()
    .describe('World wide name, in quotes; for `scsi`, `sata` and `ide`.')
    .meta({ examples: ['5000c50015ea71aa'] }),
  vendor: printable(8).optional().describe('Maker of the disk, for `scsi`; unset: QEMU.'),
  product: printable(16).optional().describe('Name of the disk, for `scsi`; unset: QEMU HARDDISK.'),
  removable: z.boolean().default(false).describe('The medium counts as removable; for `scsi` and `usb`.'),
  rotationRate: z
    .int()
    .min(1)
    .max(0xfffe)
    .optional()
    .describe('Turns a minute, 1 for a disk that does not turn; for `scsi`, `sata` and `ide`.'),
  blockSize: z
    .strictObject({
      logical: blockBytes
        .optional()
        .describe('Bytes that the guest addresses; 512 on `sata` and `ide`; unset: 512.'),
      physical: blockBytes.optional().describe('Bytes that are written best at once; unset: 512.'),
    })
    .prefault({})
    .describe('Sizes of blocks.'),
  discardGranularity: byteSize({ from: '512', to: '1GiB', examples: ['4KiB', '1MiB'] })
    .optional()
    .describe('The smallest part that can be discarded; unset: as QEMU has it.'),
  queues: z.int().min(1).max(256).optional().describe('Queues, for `virtio`; unset: one for each CPU.'),
  queueSize: z
    .literal([4, 8, 16, 32, 64, 128, 256, 512, 1024])
    .optional()
    .describe('Places in each queue, a power of two, for `virtio`; unset: 256.'),
  iothread: z
    .int()
    .min(1)
    .max(64)
    .optional()
    .describe('Thread of `iothreads` that carries the data, for `virtio`; unset: the main one.'),
  controller: z
    .int()
    .min(0)
    .max(7)
    .default(0)
    .describe('Which of `scsiControllers`, counted from 0; for `scsi`.'),
  unit: z
    .int()
    .min(0)
    .max(255)
    .optional()
    .describe('SCSI id of the disk at its controller; unset: the next that is free.'),
  limits: ioLimits.optional().describe('Ceilings for this disk, enforced by QEMU.'),
  rawio: z
    .boolean()
    .default(false)
    .describe(
      'Raw SCSI commands of the guest reach the device: a block device on `bus: scsi`, and QEMU keeps CAP_SYS_RAWIO. The policy must allow both.',
    ),
  backing: z
    .array(image)
    .max(16)
    .default([])
    .describe('The whole backing chain, nearest first. What the image header names is ignored.'),
});

export const cdromSchema = z.strictObject({
  id: identifier.describe('Name of the drive within the machine.').meta({ examples: ['install'] }),
  path: hostPath
    .optional()
    .describe('The ISO image in the drive; none: the drive is empty.')
    .meta({ examples: ['/var/lib/qward/images/debian-12.iso'] }),
  bus: z
    .enum(['auto', 'sata', 'ide', 'scsi'])
    .default('auto')
    .describe('How the guest sees the drive; `auto` is `sata`, and `ide` on the machine `pc`.'),
  serial: serial.optional().describe('Serial number; unset: as QEMU has it.'),
});

export const scsiControllerSchema = z.strictObject({
  queues: z.int().min(1).max(256).optional().describe('Queues for requests; unset: one for each CPU.'),
  iothread: z
    .int()
    .min(1)
    .max(64)
    .optional()
    .describe('Thread of `iothreads` that carries the data; unset: the main one.'),
  commandsPerLun: z.int().min(1).max(1024).optional().describe('Commands of one disk at once; unset: 128.'),
  maxSectors: z.int().min(1).max(0xffff).optional().describe('Sectors in one request; unset: 65535.'),
});
