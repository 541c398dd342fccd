/** Virtual CPUs are given to a machine that runs, into places that it was started with; all they need was planned with them. */
import { guestSize } from '../../plan/guest-size.ts';
import { commands } from '../../qmp/commands.ts';
import { monitorFailure } from '../lifecycle/give-file.ts';
import { lookAtWalls } from '../lifecycle/look-at-walls.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { settleDisks } from './drop-disk.ts';
import { giveDevice, nothingOpen } from './give-device.ts';
import { workAlone, type HotplugServices, type Work } from './hotplug-services.ts';

/** Gives their ids. */
export async function attachCpus(
  services: HotplugServices,
  machine: Machine,
  count: number,
): Promise<Outcome<readonly string[]>> {
  return await workAlone(services, machine, (work) => attach(work, count));
}

async function attach(work: Work, count: number): Promise<Outcome<readonly string[]>> {
  const { services, machine, run, session } = work;
  if (await settleDisks(work, session)) await machine.life.keepNote();
  const { cpus, mostCpus } = guestSize(run.launched.launch.argv);
  const room = mostCpus - cpus - run.hotplug.cpus.length;
  if (count > room)
    return failure(
      'request-invalid',
      `machine "${machine.name}" has ${mostCpus - room} of ${mostCpus} virtual CPUs: there is room for ${room} more`,
      `set \`cpu: {maximum: ${mostCpus - room + count}}\` in its definition and start it anew`,
    );
  const places = await commands.queryCpuPlaces(session);
  if (!places.ok) return monitorFailure(machine, places);
  const free = places.value.flatMap(({ taken, device }, index) =>
    taken ? [] : [{ ...device, id: `cpu.${index}` }],
  );
  const given: string[] = [];
  for (const device of free.slice(0, count)) {
    const added = await giveDevice(work, { ...nothingOpen, id: device.id, device }, [
      () => commands.deviceAdd(session, device),
    ]);
    if (!added.ok) return added;
    given.push(device.id);
  }
  // SECURITY: promise 2. Threads that came have every wall, and the CPUs, that those of the start have.
  const pinned = await pin(work);
  if (!pinned.ok) return pinned;
  const walls = await lookAtWalls(services, machine, `${given.join(', ')} came`);
  return walls.ok ? success(given) : walls;
}

async function pin({ services, machine, run }: Work): Promise<Outcome<unknown>> {
  if ((run.launched.launch.pins ?? []).length === 0) return success(undefined);
  return await services.broker.call('pin', { machine: machine.name });
}
