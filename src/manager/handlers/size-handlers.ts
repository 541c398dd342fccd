/** CPUs and memory that come to a running machine; with `persist` its definition has as much as it has then. */
import type { Change } from '../../definition/change-key.ts';
import { formatByteSize } from '../../definition/byte-size.ts';
import { setInDefinition } from '../../definition/set.ts';
import { attachCpus } from '../hotplug/attach-cpus.ts';
import { attachMemory } from '../hotplug/attach-memory.ts';
import type { SizeNow } from '../hotplug/hotplug.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Answer, Call } from '../server/call.ts';
import { halfDone } from './half-done.ts';
import type { HotplugHandlerServices } from './hotplug-handlers.ts';

export type Sized = 'cpu' | 'memory';

export const changesOf = (what: Sized, { cpus, memory }: SizeNow): readonly Change[] => [
  what === 'cpu'
    ? { key: 'cpu.count', value: String(cpus) }
    : { key: 'memory', value: String(formatByteSize(memory)) },
];

export async function attachSize(
  services: HotplugHandlerServices,
  { machine, identity, body }: Call<'attach'>,
): Promise<Answer<'attach'>> {
  const { name, run } = machine;
  const { cpus, memory, persist } = body;
  const what = cpus === undefined ? 'memory' : 'cpu';
  if (run !== undefined && persist) {
    const { size } = run.hotplug;
    const wanted = { cpus: size.cpus + (cpus ?? 0), memory: size.memory + (memory ?? 0) };
    const fits = await fitsDefinition(services, name, changesOf(what, wanted));
    if (!fits.ok) return fits;
  }
  const attached =
    cpus === undefined
      ? await attachMemory(services, machine, memory ?? 0)
      : await attachCpus(services, machine, cpus);
  if (!attached.ok) return attached;
  const id = attached.value.join(', ');
  for (const device of attached.value)
    services.events.emit('device.attached', name, identity.user, { device });
  machine.life.note(`${identity.user} attached ${id}`);
  if (persist && run !== undefined) {
    const written = await services.definitions.set(identity, machine, changesOf(what, run.hotplug.size));
    if (!written.ok) return halfDone(`${id} was attached`, name, written);
  }
  return success({ name, id, outcome: 'attached', persisted: persist });
}

/** What would keep it out of the definition is found before it is attached. */
async function fitsDefinition(
  { store }: HotplugHandlerServices,
  name: string,
  changes: readonly Change[],
): Promise<Outcome<unknown>> {
  const source = await store.source(name);
  if (source === undefined)
    return failure('machine-unknown', `machine "${name}" is not defined`, '`qward list --all`');
  const changed = setInDefinition(source, changes);
  return changed.ok ? success(undefined) : changed;
}
