/** Calls on disks that come and go while a machine runs. */
import { addToList } from '../../definition/list-items.ts';
import type { Plain } from '../../definition/key-path.ts';
import { isFixed, placeOf, ports } from '../../plan/hotplug-place.ts';
import type { Definitions } from '../definitions/definitions.ts';
import { askedDisk } from '../hotplug/asked-disk.ts';
import { attachDisk } from '../hotplug/attach-disk.ts';
import { detachDisk } from '../hotplug/detach-disk.ts';
import type { HotplugServices } from '../hotplug/hotplug-services.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Answer, Call, Handlers } from '../server/call.ts';
import type { DefinitionStore } from '../store/definition-store.ts';

export interface HotplugHandlerServices extends HotplugServices {
  readonly definitions: Definitions;
  readonly store: Pick<DefinitionStore, 'source'>;
}

export function createHotplugHandlers(
  services: HotplugHandlerServices,
): Pick<Handlers, 'devices' | 'attach' | 'detach'> {
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
      return success({ name, disks, ports: { all: all.length, free: free.length } });
    },
    attach: (call) => attach(services, call),
    detach: (call) => detach(services, call),
  };
}

async function attach(
  services: HotplugHandlerServices,
  { machine, identity, body }: Call<'attach'>,
): Promise<Answer<'attach'>> {
  const { name, record } = machine;
  if (record === null)
    return failure('machine-unknown', `machine "${name}" is not defined`, '`qward list --all`');
  const asked = askedDisk(record, body.disk);
  if (!asked.ok) return asked;
  const { disk, defined } = asked.value;
  const text = body.persist && !defined ? await withDisk(services, name, body.disk) : success(undefined);
  if (!text.ok) return text;
  const attached = await attachDisk(services, machine, disk);
  if (!attached.ok) return attached;
  machine.life.note(`${identity.user} attached disk "${disk.id}" (${disk.path})`);
  if (text.value !== undefined) {
    const request = { source: text.value, revision: record.revision };
    const written = await services.definitions.replace(identity, machine, request);
    if (!written.ok) return halfDone(`disk "${disk.id}" was attached`, name, written);
  }
  return success({ name, id: disk.id, outcome: 'attached', persisted: text.value !== undefined });
}

async function withDisk(
  { store }: HotplugHandlerServices,
  name: string,
  disk: Call<'attach'>['body']['disk'],
): Promise<Outcome<string>> {
  const source = await store.source(name);
  if (source === undefined)
    return failure('machine-unknown', `machine "${name}" is not defined`, '`qward list --all`');
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it came as JSON
  const added = addToList(source, 'disks', disk as Record<string, Plain>);
  return added.ok ? success(added.source) : added;
}

async function detach(
  services: HotplugHandlerServices,
  { machine, identity, body }: Call<'detach'>,
): Promise<Answer<'detach'>> {
  const { name } = machine;
  const { id, persist } = body;
  const detached = await detachDisk(services, machine, body);
  if (!detached.ok) return detached;
  machine.life.note(`${identity.user} detached disk "${id}"`);
  const defined = machine.record?.definition.disks.some((disk) => disk.id === id) === true;
  if (persist && defined) {
    const changes = [{ key: `disks.${id}`, value: null }];
    const written = await services.definitions.set(identity, machine, changes);
    if (!written.ok) return halfDone(`disk "${id}" was detached`, name, written);
  }
  return success({ name, id, outcome: 'detached', persisted: persist && defined });
}

function halfDone(
  done: string,
  machine: string,
  { faults }: Extract<Outcome<unknown>, { readonly ok: false }>,
): Extract<Outcome<never>, { readonly ok: false }> {
  const [first, ...rest] = faults;
  if (first === undefined) return { ok: false, faults };
  const message = `${done}, and the definition of machine "${machine}" was not changed: ${first.message}`;
  return { ok: false, faults: [{ ...first, message }, ...rest] };
}
