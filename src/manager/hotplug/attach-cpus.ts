/** Virtual CPUs are given to a machine that runs, into places that it was started with; all they need was planned with them. */
import { guestSize } from '../../plan/guest-size.ts';
import { commands } from '../../qmp/commands.ts';
import { monitorFailure } from '../lifecycle/give-file.ts';
import { lookAtWalls } from '../lifecycle/look-at-walls.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { failure, success, type Failed, type Outcome } from '../outcome.ts';
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
  if (free.length < count)
    return failure(
      'monitor-failed',
      `QEMU of machine "${machine.name}" tells of ${free.length} free places for virtual CPUs, and it was started with ${room}`,
      'see `qward logs`',
    );
  const given: string[] = [];
  let kept: Outcome<unknown> = success(undefined);
  for (const device of free.slice(0, count)) {
    kept = await giveDevice(work, { ...nothingOpen, id: device.id, device }, [
      () => commands.deviceAdd(session, device),
    ]);
    if (!kept.ok) break;
    given.push(device.id);
  }
  // SECURITY: promise 2. Threads that came have every wall, and the CPUs, that those of the start have: also where the next did not come.
  const pinned = await pin(work);
  if (!pinned.ok) return pinned;
  const walls = await lookAtWalls(services, machine, `${given.join(', ')} came`);
  if (!walls.ok) return walls;
  return kept.ok ? success(given) : butGiven(given, kept);
}

function butGiven(given: readonly string[], failed: Failed): Failed {
  const [first, ...rest] = failed.faults;
  if (given.length === 0 || first === undefined) return failed;
  return {
    ok: false,
    faults: [{ ...first, message: `${given.join(', ')} attached, but ${first.message}` }, ...rest],
  };
}

async function pin({ services, machine, run }: Work): Promise<Outcome<unknown>> {
  if ((run.launched.launch.pins ?? []).length === 0) return success(undefined);
  return await services.broker.call('pin', { machine: machine.name });
}
