/**
 * A USB device of the host is given to a machine that runs: planned as for a start, its node opened by the broker, which asks the
 * policy anew, and taken by QEMU in a descriptor set.
 */
import { closeSync } from 'node:fs';
import type { HostDeviceDefinition } from '../../definition/schema.ts';
import { optionsOf, type Options } from '../../plan/launched-options.ts';
import type { CommandResult } from '../../qmp/command-result.ts';
import { commands } from '../../qmp/commands.ts';
import { whenFree } from '../handed-sockets.ts';
import { monitorFailure } from '../lifecycle/give-file.ts';
import { lookAtWalls } from '../lifecycle/look-at-walls.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { beyondRun } from './beyond-run.ts';
import { settleDisks } from './drop-disk.ts';
import { nothingOpen } from './give-device.ts';
import type { Attached } from './hotplug.ts';
import { planAlone } from './plan-alone.ts';
import { workAlone, type HotplugServices, type Work } from './hotplug-services.ts';

export async function attachUsb(
  services: HotplugServices,
  machine: Machine,
  device: HostDeviceDefinition,
): Promise<Outcome<Attached>> {
  return await workAlone(services, machine, (work) => attachUsbAlone(work, device));
}

/** For who works on the machine already. */
export async function attachUsbAlone(work: Work, device: HostDeviceDefinition): Promise<Outcome<Attached>> {
  const { services, machine } = work;
  if (device.usb === undefined)
    return failure(
      'request-invalid',
      `"${device.id}" was not attached to machine "${machine.name}": a PCI device is given with a start`,
      'name it in the definition and start the machine anew',
    );
  if (await settleDisks(work, work.session)) await machine.life.keepNote();
  const planned = await planUsb(work, { ...device, optional: false });
  if (!planned.ok) return planned;
  const given = await give(work, device.usb, planned.value);
  await machine.life.keepNote();
  if (!given.ok) return given;
  // SECURITY: promise 2. Just what was planned is open.
  const walls = await lookAtWalls(services, machine, `USB device "${device.id}" was attached`);
  return walls.ok ? given : walls;
}

/** The device on any port that is free. */
async function planUsb(work: Work, wanted: HostDeviceDefinition): Promise<Outcome<Options>> {
  const { machine, run } = work;
  const { devices, usb } = run.hotplug;
  const same = usb.find(({ id, device }) => id === wanted.id || device === wanted.usb);
  if (same !== undefined || devices.some(({ id }) => id === wanted.id))
    return failure(
      'request-invalid',
      `machine "${machine.name}" has ${same === undefined ? 'a device' : `USB device ${same.device} as`} "${wanted.id}" already`,
      'choose another',
    );
  const planned = await planAlone(work, { hostDevices: [wanted] });
  if (!planned.ok) return planned;
  const { launch } = planned.value.plan;
  const beyond = beyondRun({ what: 'usb', id: wanted.id }, launch, run.launched.launch);
  if (beyond.length > 0) return { ok: false, faults: beyond };
  const found = optionsOf(launch, '-device').find(({ id }) => id === wanted.id);
  if (found === undefined) throw new TypeError(`no USB device was planned for ${wanted.id}`);
  if (!devices.some(({ id }) => id === 'ctl.usb'))
    return failure(
      'request-invalid',
      `USB device "${wanted.id}" was not attached: machine "${machine.name}" was started without a USB controller`,
      'set `hotplug: {usb: true}` in the definition and start the machine anew',
    );
  const { port: _port, hostdevice: _hostdevice, ...options } = found;
  return success(options);
}

/** It is noted before QEMU hears of it: whatever is open then is expected by whoever looks. */
async function give(work: Work, device: string, options: Options): Promise<Outcome<Attached>> {
  const { services, run, machine } = work;
  const opened = await services.broker.open({ machine: machine.name, descriptor: { kind: 'usb', device } });
  if (!opened.ok) return opened;
  const { descriptor, device: of, inode } = opened.value;
  const usb = { device, identity: { device: of, inode } };
  const attached = { ...nothingOpen, id: String(options['id']), device: options, usb };
  try {
    run.hotplug.attach(attached);
    const kept = await machine.life.keepNote();
    const plugged = kept.ok ? await plug(work, options, descriptor) : kept;
    if (plugged.ok) return success(attached);
    run.hotplug.detach(attached.id);
    return plugged;
  } finally {
    closeSync(descriptor);
  }
}

async function plug(
  { session, machine }: Work,
  options: Options,
  descriptor: number,
): Promise<Outcome<undefined>> {
  const set = await whenFree(() => commands.addFd(session, { descriptor }));
  const plugged: CommandResult<unknown> = set.ok
    ? await commands.deviceAdd(session, { ...options, hostdevice: `/dev/fdset/${set.value}` })
    : set;
  // QEMU has opened it by a descriptor of its own; the set would keep it open after it was pulled out.
  if (set.ok) await commands.removeFd(session, { set: set.value });
  if (plugged.ok) return success(undefined);
  const message = `USB device "${String(options['id'])}" was not attached: ${plugged.message}`;
  return monitorFailure(machine, { ...plugged, message });
}
