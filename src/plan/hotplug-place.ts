/** Where on the board of a running machine a disk can be attached. Pure. */
import type { LaunchRequest } from '../protocol/launch.ts';
import { optionsOf, type Options } from './launched-options.ts';

/** What there is now: devices of the launch that are still there, and those that were attached. */
export type Devices = readonly Options[];

export type PlaceOutcome =
  | { readonly ok: true; readonly device: Options }
  | { readonly ok: false; readonly why: string; readonly cure: string };

export function ports(devices: Devices): {
  readonly free: readonly string[];
  readonly all: readonly string[];
} {
  const all = devices.flatMap(({ driver, id }) =>
    driver === 'pcie-root-port' && typeof id === 'string' ? [id] : [],
  );
  const used = new Set(devices.map(({ bus }) => bus));
  return { all, free: all.filter((id) => !used.has(id)) };
}

/** `port.0`, `ctl.scsi.0`; empty: QEMU chose. */
export const placeOf = ({ bus }: Options): string => (typeof bus === 'string' ? bus : '');

/** Whether QEMU can take the device away while the machine runs: what sits on PCI Express itself stays (QEMU 7.2). */
export const isFixed = ({ bus }: Options): boolean =>
  bus === 'pcie.0' || String(bus).startsWith('virtio-mmio');

/** The device as it was planned for a start, in a place that is free now. */
export function placeDevice(
  planned: Options,
  devices: Devices,
  launch: Pick<LaunchRequest, 'argv'>,
): PlaceOutcome {
  // The machine has booted: its firmware asks again at the next start.
  const { bootindex: _bootindex, ...device } = planned;
  const { driver } = device;
  if (driver === 'scsi-hd' || driver === 'scsi-block') return placeOnScsi(device, devices);
  const onMmio = /^virtio-[a-z]+-device$/.test(String(driver));
  if (onMmio || (driver !== 'virtio-blk-pci' && device['netdev'] === undefined))
    return {
      ok: false,
      why: onMmio
        ? 'microvm has no place for what comes later'
        : 'a disk can be attached on `bus: virtio` or `bus: scsi`',
      cure: onMmio
        ? 'use `machine: q35`, or name it in the definition and start the machine anew'
        : 'attach it on another bus, or name it in the definition and start the machine anew',
    };
  const { bus, addr: _addr, multifunction: _multifunction, ...rest } = device;
  // Any slot that is free: QEMU picks one.
  if (bus === 'pci.0') return { ok: true, device: { ...rest, bus } };
  const { all, free } = ports(devices);
  const [port] = free;
  if (port !== undefined) return { ok: true, device: { ...rest, bus: port } };
  const wanted = Math.min(8, all.length + 4);
  const onScsi =
    device['netdev'] === undefined
      ? `attach the disk on \`bus: scsi\`${hasScsi(launch) ? '' : ' of a machine with `scsiControllers`'}, `
      : '';
  return {
    ok: false,
    why:
      all.length === 0
        ? 'it was started without a port for what is attached'
        : `all of its ${all.length} ports are taken`,
    cure: `detach something, ${onScsi}or start the machine with \`hotplug: {ports: ${wanted}}\` in its definition`,
  };
}

const hasScsi = (launch: Pick<LaunchRequest, 'argv'>): boolean =>
  optionsOf(launch, '-device').some(({ driver }) => String(driver).startsWith('virtio-scsi'));

/** SCSI ids that virtio-scsi of QEMU 7.2 has. */
const scsiIds = 256;

function placeOnScsi(device: Options, devices: Devices): PlaceOutcome {
  const { bus, 'scsi-id': planned } = device;
  const controller = String(bus).replace(/\.0$/, '');
  if (!devices.some(({ id }) => id === controller))
    return {
      ok: false,
      why: `it was started without the SCSI controller that the disk is to be on`,
      cure: 'start it with `scsiControllers: [{}]` in its definition, or attach the disk on `bus: virtio`',
    };
  const used = new Set(devices.flatMap((one) => (one['bus'] === bus ? [one['scsi-id']] : [])));
  if (!used.has(planned)) return { ok: true, device };
  const unit = Array.from({ length: scsiIds }, (_, index) => index).find((index) => !used.has(index));
  if (unit !== undefined) return { ok: true, device: { ...device, 'scsi-id': unit } };
  return { ok: false, why: 'all SCSI ids of the controller are taken', cure: 'detach something' };
}
