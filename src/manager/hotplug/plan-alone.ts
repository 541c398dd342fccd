/** A disk or card as a start would plan it, and its place in the machine that runs. */
import type { MachineDefinition } from '../../definition/schema.ts';
import { placeDevice } from '../../plan/hotplug-place.ts';
import type { Options } from '../../plan/launched-options.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Planned } from '../planner.ts';
import type { Work } from './hotplug-services.ts';

/** As a machine that has this device alone: a file of another disk that is missing stands in nobody's way. */
export async function planAlone(
  { services, record: { definition, metadata } }: Work,
  {
    disks = [],
    nics = [],
    hostDevices = [],
  }: Partial<Pick<MachineDefinition, 'disks' | 'nics' | 'hostDevices'>>,
): Promise<Outcome<Planned>> {
  const alone = {
    ...definition,
    firmware: 'bios' as const,
    boot: definition.machine === 'microvm' ? definition.boot : { menu: false },
    hooks: {},
    disks,
    cdroms: [],
    nics,
    hostDevices,
  } satisfies MachineDefinition;
  return await services.planner.plan(alone, { owner: metadata.owner, makeFiles: false });
}

/** `what` names it: `disk "data"`. */
export function placeIn({ machine, run }: Work, what: string, device: Options): Outcome<Options> {
  const placed = placeDevice(device, run.hotplug.devices, run.launched.launch);
  if (placed.ok) return success(placed.device);
  return failure(
    'request-invalid',
    `${what} was not attached to machine "${machine.name}": ${placed.why}`,
    placed.cure,
  );
}
