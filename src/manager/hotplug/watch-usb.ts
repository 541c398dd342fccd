/**
 * USB devices of the host that are pulled out and plugged in while their machine runs. QEMU closes what is gone and says nothing; sysfs
 * is looked at as long as a machine has such a device, or waits for one.
 */
import { statSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import type { HostDeviceDefinition } from '../../definition/schema.ts';
import { unlessMissing } from '../../linux/errno.ts';
import { usbDevices, usbDevicesOf, type UsbDevice } from '../../linux/usb-devices.ts';
import { commands } from '../../qmp/commands.ts';
import type { EventHistory } from '../events.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Run } from '../lifecycle/run.ts';
import { success, type Outcome } from '../outcome.ts';
import { attachUsbAlone } from './attach-usb.ts';
import { dropSets } from './drop-disk.ts';
import type { UsbThere, WaitingUsb } from './hotplug.ts';
import { workAlone, type HotplugServices, type Work } from './hotplug-services.ts';

interface UsbServices extends HotplugServices {
  readonly events: Pick<EventHistory, 'emit'>;
}

export const usbEveryMs = 2_000;
/** QEMU frees a device when its last reader has let go of it. */
const removalMs = 5_000;
const pollMs = 20;

export class UsbWatch {
  readonly #services: UsbServices;
  /** What was said of a device that cannot be attached, once for each run. */
  readonly #said = new WeakMap<Run, Map<string, string>>();
  #looking = false;

  constructor(services: UsbServices) {
    this.#services = services;
  }

  /** At all machines; does nothing while an earlier look is under way. */
  async look(machines: readonly Machine[]): Promise<void> {
    const concerned = machines.filter(
      ({ run }) => run?.begun === true && run.hotplug.usb.length + run.hotplug.waiting.length > 0,
    );
    if (this.#looking || concerned.length === 0) return;
    this.#looking = true;
    try {
      const present = usbDevices();
      for (const machine of concerned) {
        const { run } = machine;
        if (run === undefined || [...goneOf(run, present), ...comeOf(run, present)].length === 0) continue;
        // Refused of a machine that is paused: it is looked at again.
        await workAlone(this.#services, machine, (work) => this.#settle(work, present));
      }
    } finally {
      this.#looking = false;
    }
  }

  async #settle(work: Work, present: readonly UsbDevice[]): Promise<Outcome<undefined>> {
    const { run, machine } = work;
    for (const one of goneOf(run, present)) {
      if (!(await remove(work, one))) continue;
      await machine.life.keepNote();
      this.#services.events.emit('device.unplugged', machine.name, null, { device: one.id });
      machine.life.note(`USB device "${one.id}" (${one.device}) was pulled out`);
    }
    for (const one of comeOf(run, present)) await this.#attach(work, one);
    return success(undefined);
  }

  async #attach(work: Work, { id, device }: WaitingUsb): Promise<void> {
    const { run, machine, record } = work;
    const said = this.#said.get(run) ?? new Map<string, string>();
    this.#said.set(run, said);
    // With its last day, where the definition names it.
    const defined = record.definition.hostDevices.find((one) => one.id === id && one.usb === device);
    const wanted: HostDeviceDefinition = defined ?? { id, usb: device, optional: false, rom: true };
    const attached = await attachUsbAlone(work, wanted);
    if (attached.ok) {
      run.hotplug.waitNoMore(id);
      said.delete(id);
      await machine.life.keepNote();
      this.#services.events.emit('device.attached', machine.name, null, { device: id });
      machine.life.note(`USB device "${id}" (${device}) was plugged in, and attached`);
      return;
    }
    const why = attached.faults.map(({ message }) => message).join('; ');
    if (said.get(id) !== why) machine.life.note(`USB device "${id}" (${device}) stays with the host: ${why}`);
    said.set(id, why);
  }
}

/** Those whose very node is there no more: one that was plugged in anew has another. */
function goneOf({ hotplug }: Run, present: readonly UsbDevice[]): readonly UsbThere[] {
  return hotplug.usb.filter(({ device, identity }) =>
    usbDevicesOf(device, present).every(({ node }) => {
      const stats = unlessMissing(() => statSync(node));
      return identity === undefined || stats?.dev !== identity.device || stats.ino !== identity.inode;
    }),
  );
}

/** Of several that fit none is the one. */
function comeOf({ hotplug }: Run, present: readonly UsbDevice[]): readonly WaitingUsb[] {
  return hotplug.waiting.filter(({ device }) => usbDevicesOf(device, present).length === 1);
}

/** What QEMU still has of one that is gone; it is waited for then. */
async function remove({ session, run }: Work, { id, device }: UsbThere): Promise<boolean> {
  await commands.deviceDel(session, { id });
  for (const giveUpAt = performance.now() + removalMs; ; await wait(pollMs)) {
    const there = await commands.listDevices(session);
    if (!there.ok || performance.now() >= giveUpAt) return false;
    if (!there.value.includes(id)) break;
  }
  await dropSets(session);
  run.hotplug.detach(id);
  run.hotplug.wait({ id, device });
  return true;
}
