/** What the lab's host is made of. A change of anything here, or of lab/guest, makes a new image. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const suite = 'bookworm';

/** Inits of hosts without systemd, which are containers: what they have to do with the kernel is no part of what is proved there. */
export type OtherInit = 'sysvinit' | 'openrc';

/** Of a host without systemd. debootstrap takes sysv-rc for what needs a service manager; OpenRC takes its place afterwards. */
export const packagesWithoutSystemd: readonly string[] = [
  'sysvinit-core',
  'sysv-rc',
  'initscripts',
  'udev',
  'kmod',
  'qemu-system-x86',
  'qemu-utils',
  'seabios',
  'ipxe-qemu',
  'crun',
  'runc',
  'busybox-static',
  'libatomic1',
  'iproute2',
  'util-linux',
  'procps',
  'adduser',
];

/**
 * Packages of the host as an administrator would find it, and what the tests inside need. qward itself comes later, as its
 * package. linux-image-amd64 and not the cloud kernel: kvm_amd, vfio, scsi_debug and sg are modules of that one.
 */
export const packages: readonly string[] = [
  'systemd',
  'systemd-sysv',
  'dbus',
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
  'man-db',
  'lvm2',
  'sg3-utils',
  // What qward's package recommends for networks and TPMs, and for `qward ssh`.
  'passt',
  'nftables',
  'dnsmasq-base',
  'swtpm',
  'openssh-client',
  // Another host's way to this one.
  'openssh-server',
  // Users with a systemd of their own.
  'libpam-systemd',
  'dbus-user-session',
];

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

/** The directory of what is made of it. */
export function recipeKey(): string {
  const hash = createHash('sha256');
  for (const file of [import.meta.filename, join(import.meta.dirname, 'image.ts')])
    hash.update(readFileSync(file));
  for (const name of readdirSync(guestFiles).sort())
    hash.update(name).update(readFileSync(join(guestFiles, name)));
  return hash.digest('hex').slice(0, 16);
}
