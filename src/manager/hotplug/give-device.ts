/** A device that has no file open is given to QEMU: noted before, and settled where QEMU refuses it. */
import type { CommandResult } from '../../qmp/command-result.ts';
import { monitorFailure } from '../lifecycle/give-file.ts';
import { success, type Outcome } from '../outcome.ts';
import { settleDisks } from './drop-disk.ts';
import type { Attached } from './hotplug.ts';
import type { Work } from './hotplug-services.ts';

export const nothingOpen = {
  nodes: [],
  groups: [],
  netdevs: [],
  files: [],
  card: null,
  layers: [],
} as const satisfies Partial<Attached>;

/** A successor knows of what may be there: it is noted before QEMU hears of it. */
export async function giveDevice(
  work: Work,
  device: Attached,
  steps: readonly (() => Promise<CommandResult<unknown>>)[],
): Promise<Outcome<undefined>> {
  const { machine, run, session } = work;
  run.hotplug.attach(device);
  const kept = await machine.life.keepNote();
  if (!kept.ok) {
    run.hotplug.detach(device.id);
    return kept;
  }
  for (const step of steps) {
    const done = await step();
    if (done.ok) continue;
    // One that QEMU has all the same, after its time limit, stays noted.
    if (await settleDisks(work, session)) await machine.life.keepNote();
    return monitorFailure(machine, { ...done, message: `${device.id} was not attached: ${done.message}` });
  }
  return success(undefined);
}
