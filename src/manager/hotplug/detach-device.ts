/** A disk or card is taken from a machine that runs: the guest lets go of it, and what QEMU had open of it is closed. */
import { setTimeout as wait } from 'node:timers/promises';
import { isEmulated } from '../../plan/accelerator.ts';
import { isFixed } from '../../plan/hotplug-place.ts';
import { commands } from '../../qmp/commands.ts';
import { monitorFailure } from '../lifecycle/give-file.ts';
import { lookAtWalls } from '../lifecycle/look-at-walls.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { dropParts, dropSets, settleDisks } from './drop-disk.ts';
import type { DeviceThere } from './hotplug.ts';
import { nothingOpen } from './give-device.ts';
import { workAlone, type HotplugServices, type Work } from './hotplug-services.ts';

export interface DetachOrder {
  readonly id: string;
  /** How long the guest may take. */
  readonly timeoutMs: number;
}

const pollMs = 50;

export async function detachDevice(
  services: HotplugServices,
  machine: Machine,
  order: DetachOrder,
): Promise<Outcome<DeviceThere>> {
  return await workAlone(services, machine, (work) => detach(work, order));
}

async function detach(work: Work, { id: named, timeoutMs }: DetachOrder): Promise<Outcome<DeviceThere>> {
  const { services, machine, run, session } = work;
  // A USB device goes by what it is named by on the host, too.
  const { usb, waiting } = run.hotplug;
  const id = [...usb, ...waiting].find(({ device }) => device === named)?.id ?? named;
  if (run.hotplug.waitNoMore(id)) {
    run.hotplug.detach(id);
    await machine.life.keepNote();
    return success({ ...nothingOpen, what: 'usb', id, device: {}, held: [], attached: true });
  }
  // It may be gone already: the guest let go of it after the time limit of the last attempt.
  const before = run.hotplug.device(id);
  if (before === undefined) return unknownDevice(work, id);
  if (run.hotplug.work?.disk.split(', ').includes(id) === true)
    return failure(
      'machine-busy',
      `disk "${id}" of machine "${machine.name}" stays: something is done to its images (${run.hotplug.work.doing})`,
      'wait until it has ended, or end it',
    );
  const settled = await settleDisks(work, session);
  if (run.hotplug.device(id) !== undefined) {
    const removed = await removeDevice(work, before, timeoutMs);
    if (!removed.ok) {
      if (settled) await machine.life.keepNote();
      return removed;
    }
    await dropParts(session, before);
    if (before.what === 'usb') await dropSets(session);
    run.hotplug.detach(id);
    run.networks?.leave(id);
  }
  await machine.life.keepNote();
  // SECURITY: promise 2. Nothing of the disk is open any more.
  const walls = await lookAtWalls(services, machine, `${before.what} "${id}" was detached`);
  return walls.ok ? success(before) : walls;
}

function unknownDevice({ machine, run }: Work, id: string): ReturnType<typeof failure> {
  if (run.hotplug.devices.some((device) => device['id'] === id && device['netdev'] !== undefined))
    return failure(
      'request-invalid',
      `card "${id}" of machine "${machine.name}" was there at its start, and stays until it stops`,
      `pull its cable: \`qward set ${machine.name} nics.${id}.link=down\``,
    );
  const { disks, others, usb } = run.hotplug;
  const ids = [...new Set([...disks, ...others, ...usb].map((device) => device.id))];
  return failure(
    'request-invalid',
    `machine "${machine.name}" has no disk "${id}" now`,
    ids.length === 0 ? 'it has none' : `it has: ${ids.join(', ')}`,
  );
}

async function removeDevice(
  { machine, run, session }: Work,
  { id, device, what }: DeviceThere,
  timeoutMs: number,
): Promise<Outcome<undefined>> {
  const { name } = machine;
  if (isFixed(device))
    return failure(
      'request-invalid',
      `${what} "${id}" of machine "${name}" was there at its start, and sits on the board itself, where nothing can be taken away while it runs`,
      'put it on `bus: scsi`, or attach it after the start: then it is on a port',
    );
  // QEMU 7.2 frees a part of what it has for the CPU that it goes on using: with the next one its heap is corrupt.
  if (what === 'cpu' && isEmulated(run.launched.launch))
    return failure(
      'request-invalid',
      `cpu "${id}" of machine "${name}" stays: under TCG a CPU that goes damages the memory of QEMU itself`,
      'have the guest put it out of use (/sys/devices/system/cpu/cpuN/online), or stop the machine; under KVM CPUs go',
    );
  const asked = await commands.deviceDel(session, { id });
  // A second request while the guest thinks about the first is refused by QEMU; the first still holds.
  if (!asked.ok && !/unplug/.test(asked.message)) return monitorFailure(machine, asked);
  const giveUpAt = performance.now() + timeoutMs;
  for (;;) {
    const there = await commands.listDevices(session);
    if (!there.ok) return monitorFailure(machine, there);
    if (!there.value.includes(id)) return success(undefined);
    if (performance.now() >= giveUpAt) break;
    await wait(pollMs);
  }
  return failure(
    'device-kept',
    `the guest of machine "${name}" did not let go of ${what} "${id}" within ${timeoutMs / 1000} s; it stays attached`,
    'see that the guest has booted and does not use it, then detach it again; it also goes when the machine stops',
  );
}
