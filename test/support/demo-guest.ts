/**
 * The guest that tests, bench and scripts/try boot: Debian's cloud kernel and a busybox initial RAM disk.
 * It says `qward-demo: ready` on its serial console about three seconds after its start under TCG, then gives a shell.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { characterDevice, directory, file, link, writeCpio, type CpioEntry } from './cpio.ts';
import { fetchKernel, type KernelPackage } from './kernel-package.ts';

export interface DemoGuest {
  readonly kernel: string;
  readonly initrd: string;
  /** Kernel arguments that every use needs; switches for tests are in demo-guest-init.sh. */
  readonly cmdline: string;
  readonly release: string;
}

export const readyLine = 'qward-demo: ready';
export const defaultCache = resolve(import.meta.dirname, '../../.cache/guest');

/** What each list of the init script loads; what these depend on comes with them. */
const moduleLists = {
  base: [
    'virtio_pci',
    'virtio_mmio',
    'virtio_blk',
    'virtio_net',
    'virtio_console',
    'virtio-rng',
    'virtio_balloon',
    'button',
    'evdev',
    // Tells QEMU of a panic, where the board has the ACPI device QEMU0001.
    'pvpanic-mmio',
  ],
  shares: ['virtiofs'],
  scsi: ['virtio_scsi', 'ata_piix', 'sd_mod', 'sr_mod', 'isofs'],
} as const;

const dependencies = [
  'virtio',
  'virtio_ring',
  'virtio_pci_legacy_dev',
  'virtio_pci_modern_dev',
  'failover',
  'net_failover',
  'scsi_mod',
  'scsi_common',
  'libata',
  'cdrom',
  't10-pi',
  'crc-t10dif',
  'crct10dif_generic',
  'crct10dif_common',
  'crc64',
  'crc64-rocksoft',
  'crc64_rocksoft',
  'crc64-rocksoft_generic',
  'rng-core',
  'pvpanic',
  'fuse',
];

const underscored = (name: string): string => name.replaceAll('-', '_');

/** Modules of the package by name, with the names that each needs loaded before. */
function readModules(
  kernel: KernelPackage,
): Map<string, { readonly data: Buffer; readonly needs: string[] }> {
  const files = readdirSync(kernel.modules, { recursive: true, encoding: 'utf8' });
  return new Map(
    files
      .filter((path) => path.endsWith('.ko'))
      .map((path) => {
        const data = readFileSync(join(kernel.modules, path));
        const needs = /\0depends=([^\0]*)\0/.exec(data.toString('latin1'))?.[1] ?? '';
        return [
          underscored(basename(path, '.ko')),
          { data, needs: needs.split(',').filter(Boolean).map(underscored) },
        ] as const;
      }),
  );
}

function packModules(kernel: KernelPackage): CpioEntry[] {
  const modules = readModules(kernel);
  const packed = new Set<string>();
  const entries: CpioEntry[] = [];
  for (const [list, names] of Object.entries(moduleLists)) {
    const order: string[] = [];
    const add = (name: string): void => {
      const module = modules.get(name);
      // Not in the package: built into this kernel.
      if (module === undefined || packed.has(name)) return;
      packed.add(name);
      module.needs.forEach(add);
      order.push(`${name}.ko`);
      entries.push(file(`lib/modules/${name}.ko`, module.data));
    };
    names.map(underscored).forEach(add);
    entries.push(file(`lib/modules/${list}.list`, Buffer.from(`${order.join('\n')}\n`)));
  }
  return entries;
}

function findBusybox(): string {
  const busybox = ['/usr/bin/busybox', '/bin/busybox'].find((path) => existsSync(path));
  if (busybox === undefined) throw new Error('busybox is missing; apt-get install busybox-static');
  return busybox;
}

function packInitrd(kernel: KernelPackage, busybox: string, init: Buffer): Buffer {
  const applets = execFileSync(busybox, ['--list'], { encoding: 'utf8', timeout: 10_000 })
    .split('\n')
    .filter((applet) => applet !== '' && applet !== 'busybox');
  return writeCpio([
    ...['bin', 'dev', 'lib', 'lib/modules', 'proc', 'sys', 'tmp'].map(directory),
    characterDevice('dev/console', 5, 1),
    file('bin/busybox', readFileSync(busybox), 0o755),
    ...applets.map((applet) => link(`bin/${applet}`, 'busybox')),
    ...packModules(kernel),
    file('init', init, 0o755),
  ]);
}

/** Makes the guest below `cache`, or finds it there; milliseconds where it is up to date. */
export function buildDemoGuest(
  options: { readonly cache?: string; readonly progress?: (line: string) => void } = {},
): DemoGuest {
  const cache = options.cache ?? defaultCache;
  const progress = options.progress ?? (() => {});
  mkdirSync(cache, { recursive: true });
  const names = [...Object.values(moduleLists).flat(), ...dependencies];
  const kernel = fetchKernel(cache, names, progress);
  const busybox = findBusybox();
  const init = readFileSync(join(import.meta.dirname, 'demo-guest-init.sh'));
  const sources = [
    init,
    readFileSync(import.meta.filename),
    readFileSync(busybox),
    Buffer.from(kernel.release),
  ];
  const hash = createHash('sha256');
  for (const source of sources) hash.update(source);
  const initrd = join(cache, `initrd-${hash.digest('hex').slice(0, 12)}.cpio`);
  if (!existsSync(initrd)) {
    progress('packing the initial RAM disk');
    for (const old of readdirSync(cache).filter((name) => name.startsWith('initrd-')))
      rmSync(join(cache, old));
    const partial = `${initrd}.${process.pid}`;
    writeFileSync(partial, packInitrd(kernel, busybox, init));
    renameSync(partial, initrd);
  }
  return { kernel: kernel.vmlinuz, initrd, cmdline: 'console=ttyS0 quiet panic=-1', release: kernel.release };
}

/** An empty qcow2 disk of 64 MiB. Fails where the file exists. */
export function createDemoDisk(path: string): void {
  if (existsSync(path)) throw new Error(`${path} exists`);
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', path, '64M'], { timeout: 20_000 });
}
