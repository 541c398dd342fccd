/** Calls on what comes and goes while a machine runs. */
import { addToList } from '../../definition/list-items.ts';
import type { Plain } from '../../definition/key-path.ts';
import { guestSize } from '../../plan/guest-size.ts';
import { isFixed, placeOf, ports } from '../../plan/hotplug-place.ts';
import type { EventHistory } from '../events.ts';
import type { Definitions } from '../definitions/definitions.ts';
import { askedCard, askedDisk, askedUsb } from '../hotplug/asked-device.ts';
import { attachCard } from '../hotplug/attach-card.ts';
import { attachDisk } from '../hotplug/attach-disk.ts';
import { attachUsb } from '../hotplug/attach-usb.ts';
import { detachDevice } from '../hotplug/detach-device.ts';
import { resizeDisk } from '../hotplug/resize-disk.ts';
import type { HotplugServices } from '../hotplug/hotplug-services.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Answer, Call, Handlers } from '../server/call.ts';
import type { DefinitionStore } from '../store/definition-store.ts';
import { halfDone } from './half-done.ts';
import { attachSize, changesOf } from './size-handlers.ts';

export interface HotplugHandlerServices extends HotplugServices {
  readonly events: Pick<EventHistory, 'emit'>;
  readonly definitions: Definitions;
  readonly store: Pick<DefinitionStore, 'source'>;
}

export function createHotplugHandlers(
  services: HotplugHandlerServices,
): Pick<Handlers, 'devices' | 'attach' | 'resizeDisk' | 'detach'> {
  return {
    devices: ({ machine }) => {
      const session = machine.session();
      if (!session.ok) return session;
      const { run, name } = machine;
      if (run === undefined) throw new TypeError('a machine with a monitor has no run');
      const { all, free } = ports(run.hotplug.devices);
      const disks = run.hotplug.disks.map(({ id, device, attached, files }) => ({
        id,
        bus: placeOf(device),
        attached,
        detachable: !isFixed(device),
        files: [...new Set(files.map(({ path }) => path))].map((path) => ({
          path,
          access: files.some((file) => file.path === path && file.access === 'rw')
            ? ('rw' as const)
            : ('ro' as const),
        })),
      }));
      const cards = run.hotplug.cards.map(({ id, device, card }) => ({
        id,
        bus: placeOf(device),
        bridge: card.bridge,
        network: card.network,
      }));
      const usb = [
        ...run.hotplug.usb.map(({ id, device }) => ({ id, device, plugged: true })),
        ...run.hotplug.waiting.map(({ id, device }) => ({ id, device, plugged: false })),
      ];
      const { cpus, modules, size } = run.hotplug;
      const { mostCpus, mostMemory, slots } = guestSize(run.launched.launch.argv);
      return success({
        name,
        disks,
        cards,
        usb,
        cpus: { now: size.cpus, most: mostCpus, attached: cpus.map(({ id }) => id) },
        memory: {
          now: size.memory,
          most: mostMemory,
          modules: modules.map(({ id, memory }) => ({ id, size: memory })),
          slots: { all: slots, free: slots - modules.length },
        },
        ports: { all: all.length, free: free.length },
      });
    },
    attach: (call) => attach(services, call),
    resizeDisk: async ({ machine, identity, body }) => {
      const { disk } = body;
      const resized = await resizeDisk(services, machine, body);
      if (!resized.ok) return resized;
      const { before, size } = resized.value;
      services.events.emit('disk.resized', machine.name, identity.user, { disk, size });
      machine.life.note(`${identity.user} resized disk "${disk}" from ${before} to ${size} bytes`);
      return success({ name: machine.name, disk, before, size });
    },
    detach: (call) => detach(services, call),
  };
}

async function attach(services: HotplugHandlerServices, call: Call<'attach'>): Promise<Answer<'attach'>> {
  const { machine, body } = call;
  const { record } = machine;
  const { disk, nic, usb, cpus, memory } = body;
  if (record === null)
    return failure('machine-unknown', `machine "${machine.name}" is not defined`, '`qward list --all`');
  if ([disk, nic, usb, cpus, memory].filter((one) => one !== undefined).length !== 1)
    return failure(
      'request-invalid',
      'a disk, a card, a USB device, CPUs or memory expected, and one of them',
      'give `disk`, `nic`, `usb`, `cpus` or `memory`',
    );
  if (disk !== undefined) {
    const asked = askedDisk(record, disk);
    if (!asked.ok) return asked;
    const { device, defined } = asked.value;
    return await attachAs(services, call, {
      list: 'disks',
      item: disk,
      defined,
      what: `disk "${disk.id}"`,
      attach: () => attachDisk(services, machine, device),
    });
  }
  if (usb !== undefined) {
    const asked = askedUsb(record, usb);
    if (!asked.ok) return asked;
    const { device, defined } = asked.value;
    return await attachAs(services, call, {
      list: 'hostDevices',
      item: usb,
      defined,
      what: `USB device "${usb.id}"`,
      attach: () => attachUsb(services, machine, device),
    });
  }
  if (nic === undefined) return await attachSize(services, call);
  const asked = askedCard(record, nic);
  if (!asked.ok) return asked;
  const { device, defined } = asked.value;
  return await attachAs(services, call, {
    list: 'nics',
    item: nic,
    defined,
    what: `card "${nic.id}"`,
    attach: () => attachCard(services, machine, device),
  });
}

interface Attaching {
  readonly list: 'disks' | 'nics' | 'hostDevices';
  readonly item: NonNullable<Call<'attach'>['body']['disk']>;
  readonly defined: boolean;
  readonly what: string;
  readonly attach: () => Promise<Outcome<unknown>>;
}

/** What would keep it out of the definition is found before it is attached. */
async function attachAs(
  services: HotplugHandlerServices,
  { machine, identity, body }: Call<'attach'>,
  { list, item, defined, what, attach: work }: Attaching,
): Promise<Answer<'attach'>> {
  const { name, record } = machine;
  const text = body.persist && !defined ? await withItem(services, name, { list, item }) : success(undefined);
  if (!text.ok) return text;
  const attached = await work();
  if (!attached.ok) return attached;
  const { path = '', bridge = '', network = '', usb = '' } = item;
  services.events.emit('device.attached', name, identity.user, { device: item.id });
  machine.life.note(
    `${identity.user} attached ${what} (${[path, bridge, network, usb].map(String).join('')})`,
  );
  if (text.value !== undefined) {
    const request = { source: text.value, revision: record?.revision };
    const written = await services.definitions.replace(identity, machine, request);
    if (!written.ok) return halfDone(`${what} was attached`, name, written);
  }
  return success({ name, id: item.id, outcome: 'attached', persisted: text.value !== undefined });
}

async function withItem(
  { store }: HotplugHandlerServices,
  name: string,
  { list, item }: Pick<Attaching, 'list' | 'item'>,
): Promise<Outcome<string>> {
  const source = await store.source(name);
  if (source === undefined)
    return failure('machine-unknown', `machine "${name}" is not defined`, '`qward list --all`');
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it came as JSON
  const added = addToList(source, list, item as Record<string, Plain>);
  return added.ok ? success(added.source) : added;
}

async function detach(
  services: HotplugHandlerServices,
  { machine, identity, body }: Call<'detach'>,
): Promise<Answer<'detach'>> {
  const { name, run } = machine;
  const { persist } = body;
  const detached = await detachDevice(services, machine, body);
  if (!detached.ok) return detached;
  const { what: kind, id } = detached.value;
  const what = `${kind === 'usb' ? 'USB device' : kind} "${id}"`;
  services.events.emit('device.detached', name, identity.user, { device: id });
  machine.life.note(`${identity.user} detached ${what}`);
  const sized = kind === 'cpu' || kind === 'memory';
  const list = kind === 'disk' ? 'disks' : kind === 'usb' ? 'hostDevices' : 'nics';
  const defined = sized || machine.record?.definition[list].some((item) => item.id === id) === true;
  if (persist && defined && run !== undefined) {
    const changes = sized ? changesOf(kind, run.hotplug.size) : [{ key: `${list}.${id}`, value: null }];
    const written = await services.definitions.set(identity, machine, changes);
    if (!written.ok) return halfDone(`${what} was detached`, name, written);
  }
  return success({ name, id, outcome: 'detached', persisted: persist && defined });
}
