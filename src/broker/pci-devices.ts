/**
 * PCI devices of the host for a machine (Linux: Documentation/driver-api/vfio.rst): bound to vfio-pci while it runs, and given
 * back to their drivers. A device that is with vfio-pci already is somebody else's doing, and stays there.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readlinkSync, realpathSync } from 'node:fs';
import { basename } from 'node:path';
import { unlessMissing } from '../linux/errno.ts';
import { cloneMount } from '../linux/idmapped.ts';
import { pciAddress, relaxations, type LaunchRequest } from '../protocol/launch.ts';
import { refuse, type HandlerOutcome } from './context.ts';
import type { ShownMount } from './open-shown.ts';
import type { LaunchRecord } from './records.ts';

const bus = '/sys/bus/pci';
const own = 'vfio-pci';
/** A driver that does not let go of its device never does. */
const bindDeadlineMs = 15_000;

/** The IOMMU group of each device, and its driver before; empty: none. */
export type TakenDevices = Readonly<Record<string, { readonly group: string; readonly driver: string }>>;
type Refused = Extract<HandlerOutcome, { ok: false }>;

const place = (address: string): string => `${bus}/devices/${address}`;

const linkOf = (path: string): string => basename(unlessMissing(() => readlinkSync(path)) ?? '');

const driverOf = (address: string): string => linkOf(`${place(address)}/driver`);

/** What will be taken; nothing is changed. `records`: of all machines, read only where a device is wanted. */
export function lookAtDevices(
  launch: LaunchRequest,
  records: () => readonly LaunchRecord[],
): { readonly ok: true; readonly devices: TakenDevices } | Refused {
  const wanted = relaxations(launch, 'pci');
  const devices: Record<string, TakenDevices[string]> = {};
  const others = wanted.length === 0 ? [] : records();
  for (const address of wanted) {
    if (!pciAddress.test(address))
      return refuse('broker-refused', `"${address}" is no PCI address`, 'give it as lspci -D prints it');
    const group = linkOf(`${place(address)}/iommu_group`);
    if (group === '')
      return refuse(
        'file-missing',
        `PCI device ${address} is not there, or has no IOMMU group`,
        'see `qward doctor`',
      );
    const holder = others.find(
      ({ machine, pci = {} }) =>
        machine !== launch.machine && Object.values(pci).some((other) => other.group === group),
    );
    if (holder !== undefined)
      return refuse(
        'device-kept',
        `PCI device ${address} is in IOMMU group ${group}, which machine "${holder.machine}" has`,
        `stop that one first: \`qward stop ${holder.machine}\``,
      );
    // SECURITY: promise 2. Who has a group reaches every device of it that is with vfio-pci; the kernel lets nobody have one
    // whose others are with drivers of the host.
    const more = readdirSync(`${place(address)}/iommu_group/devices`).find(
      (other) => !wanted.includes(other) && driverOf(other) === own,
    );
    if (more !== undefined)
      return refuse(
        'broker-refused',
        `PCI device ${more} is in IOMMU group ${group} too, and the machine would reach it`,
        'give it to the machine as well, or bind it to no driver',
      );
    devices[address] = { group, driver: driverOf(address) };
  }
  return { ok: true, devices };
}

/** The nodes of their groups; the container of all is /dev/vfio/vfio. */
export const nodesOfDevices = (devices: TakenDevices): string[] => {
  const groups = new Set(Object.values(devices).map(({ group }) => `/dev/vfio/${group}`));
  return groups.size === 0 ? [] : ['/dev/vfio/vfio', ...groups];
};

/**
 * False where the kernel did not do it in time. By a process of its own: a driver that does not let go holds whoever told it to, and
 * would hold the broker when that ends.
 */
function tell(path: string, words: string): Promise<boolean> {
  const child = spawn('/bin/sh', ['-c', 'printf %s "$2" >"$1"', 'sh', path, words], {
    stdio: 'ignore',
    env: {},
  });
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      child.unref();
      resolve(false);
    }, bindDeadlineMs);
    child.once('error', () => resolve(false));
    child.once('exit', (status) => {
      clearTimeout(timer);
      resolve(status === 0);
    });
  });
}

/** What was taken before a refusal is in the record, and goes back with the sweep. */
export async function takeDevices(devices: TakenDevices): Promise<Refused | undefined> {
  for (const [address, { driver }] of Object.entries(devices)) {
    if (driver === own) continue;
    const released =
      (await tell(`${place(address)}/driver_override`, own)) &&
      (driver === '' || (await tell(`${place(address)}/driver/unbind`, address)));
    await tell(`${bus}/drivers_probe`, address);
    if (released && driverOf(address) === own) continue;
    return refuse(
      'file-missing',
      `PCI device ${address} could not be bound to vfio-pci${driver === '' ? '' : `: ${driver} has it`}`,
      'load the driver: `modprobe vfio-pci`; or stop what uses the device',
    );
  }
  return undefined;
}

/** Once nobody has them open any more. False where one is with vfio-pci still: it is not forgotten, and told again by the next sweep. */
export async function returnDevices(devices: TakenDevices): Promise<boolean> {
  for (const [address, { driver }] of Object.entries(devices)) {
    if (driver === own) continue;
    await tell(`${place(address)}/driver_override`, '\n');
    if (driverOf(address) === own) await tell(`${place(address)}/driver/unbind`, address);
    if (driver !== '' && driverOf(address) === '') await tell(`${bus}/drivers_probe`, address);
  }
  return Object.entries(devices).every(
    ([address, { driver }]) => driver === own || driverOf(address) !== own,
  );
}

/** QEMU finds the group of a device by its directory; read-only. The caller closes the mounts. */
export async function showDevices(devices: TakenDevices, uid: number): Promise<ShownMount[]> {
  const mounts: ShownMount[] = [];
  for (const address of Object.keys(devices)) {
    const fd = openSync(realpathSync(place(address)), 'r');
    try {
      const mount = await cloneMount(fd, { access: 'ro', owner: null, uid });
      mounts.push({ mount, target: place(address), directory: true });
    } finally {
      closeSync(fd);
    }
  }
  return mounts;
}
