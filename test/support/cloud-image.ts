/**
 * A cloud image as distributions make them, of Debian's own packages: GRUB, Debian's cloud kernel, systemd, cloud-init, sshd and the guest agent;
 * no key, no name and no user. Made once by debootstrap, kept in .cache/cloud, made anew when this file changes. Needs root and a mirror.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { debootstrap, inside, labCache } from '../../lab/image.ts';
import { checkout } from './checkout.ts';

/** As of Debian's own image "genericcloud"; curl is what a test fetches with. */
const packages: readonly string[] = [
  'systemd-sysv',
  'systemd-resolved',
  'udev',
  'dbus',
  'linux-image-cloud-amd64',
  'initramfs-tools',
  'zstd',
  'cloud-init',
  // By another name it is what cloud-init needs, and debootstrap knows no other names.
  'python3-cffi-backend',
  'cloud-guest-utils',
  'netplan.io',
  'openssh-server',
  'sudo',
  'qemu-guest-agent',
  'iproute2',
  'ca-certificates',
  'curl',
  'grub-pc-bin',
];

const mib = 1024 ** 2;
const diskMib = 1536;
/** Behind the partition table, where GRUB lies. */
const firstSector = 2048;
const sectorBytes = 512;

const cache = join(checkout, '.cache/cloud');

/** The path of a qcow2 file. */
export async function cloudImage(say: (line: string) => void): Promise<string> {
  const key = createHash('sha256')
    .update(readFileSync(import.meta.filename))
    .digest('hex')
    .slice(0, 16);
  const image = join(cache, `${key}.qcow2`);
  if (existsSync(image)) return image;
  rmSync(cache, { recursive: true, force: true });
  mkdirSync(cache, { recursive: true });
  mkdirSync(join(labCache, 'packages'), { recursive: true });
  const root = join(cache, 'root');
  const disk = join(cache, 'disk.raw');
  try {
    say(`making a cloud image with debootstrap (${packages.length} packages, two to four minutes)`);
    await debootstrap(root, packages);
    await configure(root);
    say('making its disk');
    makeDisk(root, disk);
    const made = join(cache, 'made.qcow2');
    execFileSync('qemu-img', ['convert', '-c', '-f', 'raw', '-O', 'qcow2', disk, made]);
    renameSync(made, image);
  } finally {
    rmSync(root, { recursive: true, force: true });
    rmSync(disk, { force: true });
  }
  return image;
}

async function configure(root: string): Promise<void> {
  const write = (path: string, text: string): void => writeFileSync(join(root, path), text);
  write('etc/fstab', 'LABEL=cloud / ext4 defaults 0 1\n');
  write('etc/hostname', 'localhost\n');
  write('etc/hosts', '127.0.0.1 localhost\n::1 localhost ip6-localhost\n');
  // As in Debian's images; else cloud-init makes another.
  write('etc/default/locale', 'LANG=C.UTF-8\n');
  // The next boot is the first one.
  write('etc/machine-id', '');
  for (const key of readdirSync(join(root, 'etc/ssh')).filter((name) => name.startsWith('ssh_host_')))
    rmSync(join(root, 'etc/ssh', key));
  // The link that the package makes is of a resolver that the host has.
  rmSync(join(root, 'etc/resolv.conf'), { force: true });
  await inside(root, 'ln', '-s', '../run/systemd/resolve/stub-resolv.conf', '/etc/resolv.conf');
  await inside(root, 'systemctl', 'enable', 'systemd-networkd', 'systemd-resolved');
  write('etc/initramfs-tools/conf.d/small', 'MODULES=list\nCOMPRESS=zstd\nRESUME=none\n');
  write('etc/initramfs-tools/modules', 'virtio_pci\nvirtio_blk\next4\ncrc32c\n');
  await inside(root, 'update-initramfs', '-u', '-k', 'all');
  mkdirSync(join(root, 'boot/grub'), { recursive: true });
  write(
    'boot/grub/grub.cfg',
    ['linux /vmlinuz root=LABEL=cloud ro console=tty0 console=ttyS0', 'initrd /initrd.img', 'boot', ''].join(
      '\n',
    ),
  );
  const modules = ['biosdisk', 'part_msdos', 'ext2', 'normal', 'linux', 'configfile'];
  const words = ['-O', 'i386-pc', '-p', '(hd0,msdos1)/boot/grub', '-o', '/boot/grub/core.img', ...modules];
  await inside(root, 'grub-mkimage', ...words);
  copyFileSync(join(root, 'usr/lib/grub/i386-pc/boot.img'), join(root, 'boot/grub/boot.img'));
  for (const waste of ['var/cache/apt', 'var/lib/apt/lists', 'usr/share/doc', 'usr/share/locale'])
    rmSync(join(root, waste), { recursive: true, force: true });
}

/** One partition with everything; in front of it the two parts of GRUB, as grub-install writes them. */
function makeDisk(root: string, disk: string): void {
  const [boot, core] = ['boot.img', 'core.img'].map((name) => readFileSync(join(root, 'boot/grub', name)));
  if (boot === undefined || core === undefined || core.length > (firstSector - 1) * sectorBytes)
    throw new Error('GRUB does not fit in front of the first partition');
  execFileSync('truncate', ['--size', `${diskMib}M`, disk]);
  const offset = firstSector * sectorBytes;
  const options = ['-q', '-F', '-t', 'ext4', '-m', '0', '-L', 'cloud', '-d', root];
  execFileSync('mke2fs', [...options, '-E', `offset=${offset}`, disk, `${diskMib - offset / mib}M`], {
    stdio: 'pipe',
  });
  const file = openSync(disk, 'r+');
  try {
    boot.set(partitionTable(diskMib * (mib / sectorBytes) - firstSector), 440);
    writeSync(file, boot, 0, sectorBytes, 0);
    writeSync(file, core, 0, core.length, sectorBytes);
  } finally {
    closeSync(file);
  }
}

/** One entry: active, Linux; the rest of the disk. Behind it the mark of a boot sector. */
function partitionTable(sectors: number): Buffer {
  const table = Buffer.alloc(72);
  table.write('qwrd');
  table.set([0x80, 0xff, 0xff, 0xff, 0x83, 0xff, 0xff, 0xff], 6);
  table.writeUInt32LE(firstSector, 14);
  table.writeUInt32LE(sectors, 18);
  table.set([0x55, 0xaa], 70);
  return table;
}
