/** A module of memory is given to a machine that runs, in the room that it was started with: its limits have it already. */
import { randomBytes } from 'node:crypto';
import { planModule } from '../../plan/memory-module.ts';
import { commands } from '../../qmp/commands.ts';
import { lookAtWalls } from '../lifecycle/look-at-walls.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { settleDisks } from './drop-disk.ts';
import { giveDevice, nothingOpen } from './give-device.ts';
import { workAlone, type HotplugServices, type Work } from './hotplug-services.ts';

/** Where all of it is taken at once. */
const preallocateMs = 120_000;

/** Gives its id, as the one of a list. */
export async function attachMemory(
  services: HotplugServices,
  machine: Machine,
  size: number,
): Promise<Outcome<readonly string[]>> {
  return await workAlone(services, machine, (work) => attach(work, size));
}

async function attach(work: Work, size: number): Promise<Outcome<readonly string[]>> {
  const { services, machine, run, session } = work;
  if (await settleDisks(work, session)) await machine.life.keepNote();
  const backend = `hot.${randomBytes(4).toString('hex')}`;
  const planned = planModule(run.launched.launch, run.hotplug.modules, { size, backend });
  if (!planned.ok)
    return failure(
      'request-invalid',
      `no memory was attached to machine "${machine.name}": ${planned.why}`,
      planned.cure,
    );
  const { device } = planned;
  const id = String(device['id']);
  const given = await giveDevice(work, { ...nothingOpen, id, device, groups: [backend], memory: size }, [
    () => commands.objectAdd(session, planned.backend, { timeoutMs: preallocateMs }),
    () => commands.deviceAdd(session, device),
  ]);
  if (!given.ok) return given;
  const walls = await lookAtWalls(services, machine, `${id} came`);
  return walls.ok ? success([id]) : walls;
}
