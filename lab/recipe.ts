/** What the lab's host is made of. A change of anything here, or of lab/guest, makes a new image. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const suite = 'bookworm';

/** What boots the host, shuts it down, and starts services. */
export type Init = 'systemd' | 'sysvinit' | 'openrc';
export const inits: readonly Init[] = ['systemd', 'sysvinit', 'openrc'];

const ofInit: Readonly<Record<Init, readonly string[]>> = {
  systemd: [
    'systemd',
    'systemd-sysv',
    'dbus',
    'man-db',
    'lvm2',
    'sg3-utils',
    // Users with a systemd of their own.
    'libpam-systemd',
    'dbus-user-session',
  ],
  sysvinit: ['sysvinit-core', 'sysv-rc', 'initscripts', 'cgroupfs-mount'],
  // debootstrap takes the first of what fulfils a dependency, which is sysv-rc: OpenRC takes its place afterwards.
  openrc: ['sysvinit-core', 'sysv-rc', 'initscripts'],
};

/**
 * Packages of the host as an administrator would find it, and what the tests inside need. qward itself comes later, as its
 * package. linux-image-amd64 and not the cloud kernel: kvm_amd, vfio, scsi_debug and sg are modules of that one.
 */
const ofAll: readonly string[] = [
  'udev',
  'kmod',
  'linux-image-amd64',
  'initramfs-tools',
  'apparmor',
  'qemu-system-x86',
  'qemu-utils',
  'seabios',
  'ipxe-qemu',
  'ovmf',
  'crun',
  'runc',
  'busybox-static',
  'libatomic1',
  'iproute2',
  'acl',
  'attr',
  'util-linux',
  'procps',
  'adduser',
];

export const packagesFor = (init: Init): readonly string[] => [...ofInit[init], ...ofAll];

/** Loaded by the initial RAM disk: with these alone it is small, and unpacked in two seconds rather than ten. */
export const initramfsModules: readonly string[] = [
  'virtio_pci',
  'virtio_blk',
  'virtio_console',
  'ext4',
  'crc32c',
];

export const diskMib = 4096;

export const guestFiles = join(import.meta.dirname, 'guest');

/** The directory of its image. */
export function recipeKey(init: Init): string {
  const hash = createHash('sha256').update(init);
  for (const file of [import.meta.filename, join(import.meta.dirname, 'image.ts')])
    hash.update(readFileSync(file));
  for (const name of readdirSync(guestFiles).sort())
    hash.update(name).update(readFileSync(join(guestFiles, name)));
  return hash.digest('hex').slice(0, 16);
}
