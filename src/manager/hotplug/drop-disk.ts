/** Taking away what QEMU has of a disk whose device is gone, and finding those whose device went while nobody looked. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Life } from '../lifecycle/life.ts';
import type { Run } from '../lifecycle/run.ts';
import type { CommandResult } from '../../qmp/command-result.ts';
import { commands } from '../../qmp/commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import type { DiskParts } from './hotplug.ts';

/** A device that is gone lets go of its drive a moment later, when its last reader has (RCU in QEMU 7.2). */
const releaseMs = 5_000;
const pollMs = 10;

/** Closes what it has open. What is not there is passed by, so it can be done again. */
export async function dropParts(
  session: QmpSession,
  { nodes, groups, netdevs, memory = 0 }: DiskParts,
): Promise<void> {
  const giveUpAt = performance.now() + releaseMs;
  const whenUnused = async (drop: () => Promise<CommandResult<unknown>>): Promise<void> => {
    for (let dropped = await drop(); !dropped.ok && /in use/.test(dropped.message); dropped = await drop()) {
      if (performance.now() >= giveUpAt) break;
      await wait(pollMs);
    }
  };
  for (const node of nodes.toReversed()) await whenUnused(() => commands.blockdevDel(session, { node }));
  for (const id of groups) {
    const drop = (): Promise<CommandResult<unknown>> => commands.objectDel(session, { id });
    // Limits may be in use by another disk of their group.
    await (memory > 0 ? whenUnused(drop) : drop());
  }
  for (const id of netdevs) await commands.netdevDel(session, { id });
}

/**
 * Disks whose device is not there any more: the guest let go of one after its time limit, or the manager ended in the middle of
 * attaching or detaching one. Gives whether there were any.
 */
export async function settleDisks({ run }: { readonly run: Run }, session: QmpSession): Promise<boolean> {
  const there = await commands.listDevices(session);
  if (!there.ok) return false;
  const gone = [...run.hotplug.disks, ...run.hotplug.others].filter(({ id }) => !there.value.includes(id));
  for (const disk of gone) {
    await dropParts(session, disk);
    run.hotplug.detach(disk.id);
  }
  if (run.hotplug.hasNote) await dropSets(session);
  return gone.length > 0;
}

/** Sets that a manager left whose end came between giving and removing: their nodes hold descriptors of their own. */
export async function dropSets(session: QmpSession): Promise<void> {
  const sets = await commands.queryFdsets(session);
  if (sets.ok) for (const { id } of sets.value) await commands.removeFd(session, { set: id });
}

/** When a device went, or the monitor of a machine that an earlier manager began has answered; after what is under way. */
export async function settleRun(life: Pick<Life, 'keepNote'>, run: Run): Promise<void> {
  await run.media.alone(async () => {
    const { session } = run;
    if (session === undefined || !run.begun) return;
    if (await settleDisks({ run }, session)) await life.keepNote();
  });
}
