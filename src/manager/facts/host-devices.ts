/** What sysfs says of PCI and USB devices that machines are to have (Documentation/ABI/testing/sysfs-bus-pci, sysfs-bus-usb). */
import { readdir, readFile, readlink, realpath } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { MachineDefinition } from '../../definition/schema.ts';
import { usbDevices } from '../../linux/usb-devices.ts';
import type {
  GroupMember,
  HostDevice,
  HostDeviceFacts,
  HostUsbDevice,
} from '../../plan/host-device-faults.ts';

/** Where the kernel shows itself; others for tests. */
export interface KernelFiles {
  readonly sys: string;
  readonly proc: string;
}

const kernel: KernelFiles = { sys: '/sys', proc: '/proc' };

const orEmpty = async <Value>(read: Promise<Value>, empty: Value): Promise<Value> => read.catch(() => empty);
const textOf = async (path: string): Promise<string> => (await orEmpty(readFile(path, 'utf8'), '')).trim();
const linkOf = async (path: string): Promise<string> => basename(await orEmpty(readlink(path), ''));
const namesIn = (path: string): Promise<string[]> => orEmpty(readdir(path), []);

export async function readHostDevices(
  hostDevices: readonly Pick<MachineDefinition['hostDevices'][number], 'pci' | 'usb'>[],
  files: KernelFiles = kernel,
): Promise<HostDeviceFacts> {
  if (hostDevices.length === 0) return { devices: {}, hasDriver: false, usb: [] };
  const addresses = hostDevices.flatMap(({ pci }) => pci ?? []);
  const [uses, drivers] = await Promise.all([usesOf(files), namesIn(join(files.sys, 'bus/pci/drivers'))]);
  const devices = addresses.map(async (address) => [address, await readOne(address, files, uses)] as const);
  const usb = hostDevices.some((one) => one.usb !== undefined) ? await readUsb(files, uses) : [];
  return {
    devices: Object.fromEntries(await Promise.all(devices)),
    hasDriver: drivers.includes('vfio-pci'),
    usb,
  };
}

async function readUsb({ sys }: KernelFiles, uses: readonly Use[]): Promise<readonly HostUsbDevice[]> {
  return await Promise.all(
    usbDevices(sys.replace(/\/?sys$/, '')).map(async ({ port, id, isHub }) => {
      const directory = await orEmpty(realpath(join(sys, 'bus/usb/devices', port)), '');
      // A device that hangs off this one is a directory of its own within it, where this one is a hub.
      const inside = (path: string): boolean => path.startsWith(`${directory}/`);
      const holds = uses.flatMap(({ what, on }) => (directory !== '' && on.some(inside) ? [what] : []));
      return { port, id, isHub, holds };
    }),
  );
}

interface Use {
  readonly what: string;
  /** Directories of the devices that carry it. */
  readonly on: readonly string[];
}

async function readOne(
  address: string,
  { sys }: KernelFiles,
  uses: readonly Use[],
): Promise<HostDevice | null> {
  const directory = await orEmpty(realpath(join(sys, 'bus/pci/devices', address)), '');
  if (directory === '') return null;
  const group = await linkOf(join(directory, 'iommu_group'));
  const inside = (path: string): boolean => path.startsWith(`${directory}/`);
  const links = await namesIn(join(directory, 'net'));
  const up = await Promise.all(
    links.map(async (name) => (Number(await textOf(join(directory, 'net', name, 'flags'))) & 1) === 1),
  );
  return {
    group: group === '' ? null : group,
    members: await membersOf(sys, group),
    bootDisplay: (await textOf(join(directory, 'boot_vga'))) === '1',
    holds: uses.flatMap(({ what, on }) => (on.some(inside) ? [what] : [])),
    upLinks: links.filter((_, index) => up[index] === true),
  };
}

async function membersOf(sys: string, group: string): Promise<readonly GroupMember[]> {
  if (group === '') return [];
  const directory = join(sys, 'kernel/iommu_groups', group, 'devices');
  return await Promise.all(
    (await namesIn(directory)).map(async (address) => ({
      address,
      class: await textOf(join(directory, address, 'class')),
      driver: await linkOf(join(directory, address, 'driver')),
    })),
  );
}

/** Mounted file systems and swap, with the devices below them, through LVM, RAID and encryption. */
async function usesOf({ sys, proc }: KernelFiles): Promise<readonly Use[]> {
  const mounts = (await textOf(join(proc, 'self/mountinfo'))).split('\n').map((line) => line.split(' '));
  const swaps = (await textOf(join(proc, 'swaps'))).split('\n').slice(1);
  return await Promise.all([
    ...mounts.map(async ([, , numbers = '', , target = '']) => ({
      what: `a file system is mounted at ${target}`,
      on: await below(join(sys, 'dev/block', numbers)),
    })),
    ...swaps.map(async (line) => {
      const path = line.split(/\s/)[0] ?? '';
      return { what: `${path} is swap`, on: await below(join(sys, 'class/block', basename(path))) };
    }),
  ]);
}

const deepest = 8;

/** The directory of a block device, and those of what it is made of. */
async function below(path: string, depth = 0): Promise<readonly string[]> {
  const directory = await orEmpty(realpath(path), '');
  if (directory === '' || depth > deepest) return [];
  const slaves = await namesIn(join(directory, 'slaves'));
  const deeper = await Promise.all(slaves.map((name) => below(join(directory, 'slaves', name), depth + 1)));
  return [directory, ...deeper.flat()];
}
